/* SPDX-License-Identifier: Apache-2.0 */
/* What looks like a secret: pure questions about a few bytes, for secret.c. */
#ifndef UNCOIL_BASE_SECRET_LOOK_H
#define UNCOIL_BASE_SECRET_LOOK_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a value under this name is one: "--db-password", "API_KEY", "clientSecret", but not
 * "--password-file", "--max-tokens" or "--no-auth". Dashes may be included. */
bool secret_is_name(const char *name, size_t len);

/* Whether a value is none whatever its name: "true", "none". */
bool secret_is_harmless(const char *value, size_t len);

/* Length of a provider's key or JWT that the text begins with, 0 if it does not. The text has no
 * NUL within `len`. */
size_t secret_is_key(const char *text, size_t len);

/* Whether this is a random word rather than a name made by people. */
bool secret_is_random(const char *word, size_t len);

/* "Bearer": stands between "Authorization:" and the secret. */
bool secret_is_scheme(const char *word, size_t len);

/* How much of a URL behind its "scheme://" is no secret, where the rest is one by its service; or 0. */
size_t secret_is_webhook(const char *text, size_t len);

#endif
