/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of a cgroup and of those that the agent has made below it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal/cgroup_file.h"
#include "internal/sampler_state.h"

static int append(struct processes *processes, pid_t pid)
{
	if (processes->count == processes->capacity) {
		size_t capacity = processes->capacity ? 2 * processes->capacity : 16;
		struct process *grown = realloc(processes->items, capacity * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		processes->items = grown;
		processes->capacity = capacity;
	}
	processes->items[processes->count++] = (struct process){ .pid = pid };
	return 0;
}

/* Appends the numbers of an open cgroup.procs, which comes a page at a time. */
static int read_procs(int fd, struct processes *processes)
{
	char text[4096];
	off_t offset = 0;
	pid_t pid = 0;
	int code = 0;

	for (;;) {
		ssize_t length = pread(fd, text, sizeof(text), offset);

		if (length < 0)
			return -errno;
		if (length == 0)
			return code;
		for (ssize_t i = 0; i < length && code == 0; i++) {
			if (text[i] != '\n') {
				pid = pid * 10 + (text[i] - '0');
				continue;
			}
			/* 0: a process that our pid namespace does not show. */
			code = append(processes, pid);
			pid = 0;
		}
		offset += length;
	}
}

/* A cgroup's directory has two links and one for each cgroup in it (fs/kernfs/inode.c). */
static bool has_children(int cgroup_fd)
{
	struct stat status;

	return fstat(cgroup_fd, &status) == 0 && status.st_nlink > 2;
}

static int read_children(int cgroup_fd, struct processes *processes, int depth, int *left);

static int read_child(int parent_fd, const char *name, struct processes *processes, int depth,
		      int *left)
{
	int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int procs_fd, code = 0;

	if (fd < 0)
		return 0; /* gone meanwhile */
	procs_fd = sasm_cgroup_open(fd, "cgroup.procs");
	if (procs_fd >= 0) {
		code = read_procs(procs_fd, processes);
		close(procs_fd);
		if (code != -ENOMEM)
			code = 0; /* threaded (EOPNOTSUPP: its domain lists them) or gone */
	}
	if (code == 0 && depth < NESTED_DEPTH_MAX && has_children(fd))
		code = read_children(fd, processes, depth + 1, left);
	close(fd);
	return code;
}

static int read_children(int cgroup_fd, struct processes *processes, int depth, int *left)
{
	int fd = openat(cgroup_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	int code = 0;

	if (!directory) {
		if (fd >= 0)
			close(fd);
		return 0; /* gone, or no memory for a listing: counted next time */
	}
	while (code == 0 && (entry = readdir(directory)) && *left > 0) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		(*left)--;
		code = read_child(cgroup_fd, entry->d_name, processes, depth, left);
	}
	closedir(directory);
	return code;
}

int sasm_sampler_list_processes(int cgroup_fd, int procs_fd, struct processes *processes)
{
	int left = NESTED_CGROUPS_MAX;
	int code;

	processes->count = 0;
	code = read_procs(procs_fd, processes);
	if (code == 0 && has_children(cgroup_fd))
		code = read_children(cgroup_fd, processes, 1, &left);
	return code;
}
