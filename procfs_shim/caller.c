// SPDX-License-Identifier: Apache-2.0
/*
 * Sources: cgroups(7), "/proc/pid/cgroup": one line per hierarchy, the cgroup2
 * one starts with "0::". The path is relative to our cgroup namespace.
 */
#include "caller.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* PATH_MAX for the path, and the lines of fourteen v1 hierarchies before it. */
#define CGROUP_TEXT_BYTES (64 * 1024)

static bool read_cgroup(pid_t pid, char *text, size_t size)
{
	size_t have = 0;
	char path[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while ((n = read(fd, text + have, size - 1 - have)) > 0)
		have += (size_t)n;
	close(fd);
	text[have] = '\0';
	/* A text that fills the buffer may be cut: not read. */
	return !n && have && have < size - 1;
}

static const char *find_unified(char *text)
{
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (!strncmp(line, "0::/", 4))
			return line + 3;
	return NULL;
}

bool sasm_caller_is_agent(const struct sasm_caller_rules *rules, pid_t pid)
{
	static char text[CGROUP_TEXT_BYTES]; /* one thread */
	size_t length = strlen(rules->agents_cgroup);
	const char *cgroup;

	if (pid <= 0 || !read_cgroup(pid, text, sizeof(text)))
		return true;
	cgroup = find_unified(text);
	if (!cgroup)
		return true;
	/* "/asm.slice/agents-old" is not below "/asm.slice/agents". */
	return !strncmp(cgroup, rules->agents_cgroup, length) &&
	       (cgroup[length] == '/' || cgroup[length] == '\0');
}

bool sasm_caller_is_operator(const struct sasm_caller_rules *rules, pid_t pid, uid_t uid, gid_t gid,
			     const gid_t *groups, int group_count)
{
	bool is_member = uid == 0;

	if (rules->operators != (gid_t)-1) {
		is_member |= gid == rules->operators;
		for (int i = 0; i < group_count; i++)
			is_member |= groups[i] == rules->operators;
	}
	return is_member && !sasm_caller_is_agent(rules, pid);
}
