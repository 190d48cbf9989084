/* SPDX-License-Identifier: Apache-2.0 */
/* A gzip stream (RFC 1952) onto a FILE, without a name or a time: the same bytes in, the same out. */
#ifndef UNCOIL_SINK_GZ_H
#define UNCOIL_SINK_GZ_H

#include <stdio.h>
#include <zlib.h>

struct gz {
	z_stream z;
	FILE *out;
	int err; /* -ENOMEM or -EIO, sticky */
	unsigned char room[16384];
};

int gz_begin(struct gz *gz, FILE *out);
void gz_add(struct gz *gz, const void *data, size_t len);
int gz_end(struct gz *gz); /* flushes and frees, also after an error; returns it */

#endif
