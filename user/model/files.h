/* SPDX-License-Identifier: Apache-2.0 */
/* Whose code is it, and how is its file called on a screen? */
#ifndef UNCOIL_MODEL_FILES_H
#define UNCOIL_MODEL_FILES_H

#include "model/report.h"

/* co_filename to what is shown: library and standard library files lose their installation's
 * prefix, the application's are relative to the process's directory where they lie below it. A
 * pointer into `path`. cwd may be NULL or "". */
const char *file_shown(const char *path, const char *cwd, enum frame_kind *ret_kind);

#endif
