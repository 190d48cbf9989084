/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads that are not Python's, for pair.py: they pass a byte to and fro. */
#include <pthread.h>
#include <unistd.h>

static int to[2], fro[2];

static void *one(void *unused)
{
	char byte = 0;

	while (write(to[1], &byte, 1) == 1 && read(fro[0], &byte, 1) == 1)
		;
	return unused;
}

static void *other(void *unused)
{
	char byte;

	while (read(to[0], &byte, 1) == 1 && write(fro[1], &byte, 1) == 1)
		;
	return unused;
}

int pair_start(void)
{
	pthread_t thread;

	return pipe(to) || pipe(fro) || pthread_create(&thread, NULL, one, NULL) ||
	       pthread_create(&thread, NULL, other, NULL);
}
