/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A C program with a Python in it: runs the file that its first argument names, and with a second
 * one calls its `spin` from a thread of its own, by PyGILState_Ensure() and _Release() around each
 * call, so that the thread gets a new thread state each time.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <stdio.h>

static void *foreign(void *module)
{
	PyGILState_STATE state;
	PyObject *result;

	for (;;) {
		state = PyGILState_Ensure();
		result = PyObject_CallMethod(module, "spin_once", NULL);
		if (!result)
			PyErr_Print();
		Py_XDECREF(result);
		PyGILState_Release(state);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	PyObject *module;
	pthread_t thread;
	FILE *file;

	Py_InitializeEx(0);
	file = argc > 1 ? fopen(argv[1], "r") : NULL;
	if (!file || PyRun_SimpleFile(file, argv[1]))
		return 1;
	module = PyImport_AddModule("__main__");
	if (argc > 2 && pthread_create(&thread, NULL, foreign, module))
		return 1;
	puts("ready");
	fflush(stdout);
	if (argc > 2) {
		PyThreadState *mine = PyEval_SaveThread();

		pthread_join(thread, NULL);
		PyEval_RestoreThread(mine);
	}
	Py_XDECREF(PyObject_CallMethod(module, "spin", NULL));
	return 1;
}
