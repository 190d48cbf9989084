/* SPDX-License-Identifier: Apache-2.0 */
#include "os/family.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct kin {
	pid_t pid, parent;
};

/* Parent of a process: the second field behind the name, which ends with the last ')'. */
static pid_t parent_of(pid_t pid)
{
	char path[32], text[512], *at;
	ssize_t len;
	int fd, parent;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return 0;
	text[len] = '\0';
	at = strrchr(text, ')');
	return at && sscanf(at + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/* Every process that /proc shows, and its parent. */
static int kin_list(struct kin **ret_kin)
{
	struct kin *kin = NULL, *grown;
	struct dirent *entry;
	int cnt = 0, cap = 0;
	DIR *dir;

	dir = opendir("/proc");
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (cnt == cap) {
			cap = cap ? cap * 2 : 256;
			grown = realloc(kin, cap * sizeof(*kin));
			if (!grown) {
				free(kin);
				closedir(dir);
				return -ENOMEM;
			}
			kin = grown;
		}
		kin[cnt].pid = strtol(entry->d_name, NULL, 10);
		kin[cnt].parent = parent_of(kin[cnt].pid);
		cnt++;
	}
	closedir(dir);
	*ret_kin = kin;
	return cnt;
}

int family_of(pid_t pid, pid_t **ret_pids)
{
	int cnt, found = 0, done, i;
	struct kin *kin = NULL;
	pid_t *pids, of;

	cnt = kin_list(&kin);
	if (cnt < 0)
		return cnt;
	pids = calloc(cnt + 1, sizeof(*pids));
	if (!pids) {
		free(kin);
		return -ENOMEM;
	}
	for (of = pid, done = 0; of; of = done < found ? pids[done++] : 0) {
		for (i = 0; i < cnt; i++)
			if (kin[i].parent == of && kin[i].pid != of) {
				pids[found++] = kin[i].pid;
				kin[i].parent = 0; /* once, whatever a pid's reuse makes of it */
			}
	}
	free(kin);
	*ret_pids = pids;
	return found;
}
