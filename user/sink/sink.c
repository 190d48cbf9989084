/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sink.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

const struct sink *const sinks[] = { &sink_flame, &sink_folded,   &sink_summary, &sink_speedscope,
				     &sink_pprof, &sink_perfetto, &sink_chrome,  NULL };

const struct sink *sink_by_name(const char *name)
{
	size_t i;

	for (i = 0; sinks[i]; i++)
		if (!strcmp(sinks[i]->name, name))
			return sinks[i];
	return NULL;
}

size_t sink_suffix_of(const char *path, const char *suffixes)
{
	size_t path_len = strlen(path), len;

	for (; *suffixes; suffixes += len + strspn(suffixes + len, " ")) {
		len = strcspn(suffixes, " ");
		if (len && len <= path_len && !memcmp(path + path_len - len, suffixes, len))
			return len;
	}
	return 0;
}

const struct sink *sink_by_suffix(const char *path)
{
	size_t i;

	for (i = 0; sinks[i]; i++)
		if (sink_suffix_of(path, sinks[i]->suffixes))
			return sinks[i];
	return NULL;
}

size_t sink_suffix(const char *path)
{
	const struct sink *sink = sink_by_suffix(path);

	return sink ? sink_suffix_of(path, sink->suffixes) : 0;
}

const char *sink_names(void)
{
	static char names[256];
	size_t i, len = 0;

	for (i = 0; sinks[i]; i++)
		len += snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "",
				sinks[i]->name);
	return names;
}
