/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A C program that loads a Python, and unloads it again. Says "ready"; for each byte that it reads:
 *	w	runs Python code, which asserts what it computes
 *	c	ends Python and unloads its library
 *	o	loads it again
 * and says "done", or "mapped" if the library is still there after it was unloaded.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY "libpython3.11.so.1.0"

static const char code[] = "def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)\n"
			   "def numbers(n):\n"
			   "    for i in range(n): yield i\n"
			   "assert fib(15) == 610 and sum(numbers(1000)) == 499500\n";

static void *library;
static void (*initialize)(int signals);
static int (*finalize)(void);
static int (*run)(const char *text, void *flags);

static void load(void)
{
	library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		puts(dlerror());
		exit(1);
	}
	initialize = (void (*)(int))dlsym(library, "Py_InitializeEx");
	finalize = (int (*)(void))dlsym(library, "Py_FinalizeEx");
	run = (int (*)(const char *, void *))dlsym(library, "PyRun_SimpleStringFlags");
	initialize(0);
}

static const char *unload(void)
{
	char line[4096];
	const char *word = "done";
	FILE *maps;

	finalize();
	dlclose(library);
	maps = fopen("/proc/self/maps", "r");
	while (maps && fgets(line, sizeof(line), maps)) {
		if (strstr(line, LIBRARY))
			word = "mapped";
	}
	if (maps)
		fclose(maps);
	return word;
}

int main(void)
{
	const char *word;
	char byte;

	setvbuf(stdout, NULL, _IOLBF, 0);
	load();
	if (run(code, NULL))
		return 1;
	puts("ready");
	while (read(STDIN_FILENO, &byte, 1) == 1) {
		word = "done";
		if (byte == 'c')
			word = unload();
		else if (byte == 'o')
			load();
		else if (run(code, NULL))
			return 1;
		puts(word);
	}
	return 0;
}
