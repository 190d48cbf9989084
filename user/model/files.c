/* SPDX-License-Identifier: Apache-2.0 */
#include "model/files.h"

#include <ctype.h>
#include <string.h>

/* Behind the last "/site-packages/" or "/dist-packages/"; NULL if there is none. */
static const char *behind_packages(const char *path)
{
	static const char *const folders[] = { "/site-packages/", "/dist-packages/" };
	const char *found = NULL, *at;
	size_t i;

	for (i = 0; i < 2; i++)
		for (at = path; (at = strstr(at, folders[i])); at++)
			if (!found || at > found)
				found = at + strlen(folders[i]);
	return found;
}

/* Behind "/lib/python3.11/" (also lib64, and "/lib/python3/"); NULL if there is none. */
static const char *behind_stdlib(const char *path)
{
	const char *at = path, *end;

	while ((at = strstr(at, "/python"))) {
		end = at + strlen("/python");
		while (isdigit((unsigned char)*end) || *end == '.')
			end++;
		if (end[-1] != 'n' && *end == '/' && at - path >= 3 &&
		    (!strncmp(at - 3, "lib", 3) ||
		     (at - path >= 5 && !strncmp(at - 5, "lib64", 5))))
			return end + 1;
		at++;
	}
	return NULL;
}

const char *file_shown(const char *path, const char *cwd, enum frame_kind *ret_kind)
{
	size_t len = cwd ? strlen(cwd) : 0;
	const char *rest;

	rest = behind_packages(path);
	if (rest) {
		*ret_kind = FRAME_LIBRARY;
		return rest;
	}
	rest = behind_stdlib(path);
	if (rest || !strncmp(path, "<frozen ", 8)) {
		*ret_kind = FRAME_STDLIB;
		return rest ? rest : path;
	}
	*ret_kind = FRAME_APP;
	if (len > 1 && !strncmp(path, cwd, len) && path[len] == '/' && path[len + 1])
		return path + len + 1;
	return path;
}
