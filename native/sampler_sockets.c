/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many sockets a set of processes holds open: of every family, each once, whoever shares it.
 *
 * By the links in /proc/PID/fd, which name a socket's inode. Links are read and never followed:
 * what they lead to may be a file system that does not answer. Costs some 2 us per descriptor.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal/sampler_state.h"

struct inodes {
	uint64_t *items;
	size_t count, capacity;
};

static int append(struct inodes *inodes, uint64_t inode)
{
	if (inodes->count == inodes->capacity) {
		size_t capacity = inodes->capacity ? 2 * inodes->capacity : 64;
		uint64_t *grown = realloc(inodes->items, capacity * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		inodes->items = grown;
		inodes->capacity = capacity;
	}
	inodes->items[inodes->count++] = inode;
	return 0;
}

static int list_sockets(int proc_fd, pid_t pid, struct inodes *inodes)
{
	static const char kind[] = "socket:[";
	const struct dirent *entry;
	char text[64];
	DIR *directory;
	int code = 0, fd;

	snprintf(text, sizeof(text), "%d/fd", pid);
	fd = openat(proc_fd, text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	directory = fd < 0 ? NULL : fdopendir(fd);
	if (!directory) {
		if (fd >= 0)
			close(fd);
		return 0; /* it has ended */
	}
	while (code == 0 && (entry = readdir(directory))) {
		ssize_t length = readlinkat(fd, entry->d_name, text, sizeof(text) - 1);

		if (length < 0)
			continue; /* "." or ".."; or closed meanwhile */
		text[length] = '\0';
		if (strncmp(text, kind, sizeof(kind) - 1) == 0)
			code = append(inodes, strtoull(text + sizeof(kind) - 1, NULL, 10));
	}
	closedir(directory);
	return code;
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

int sasm_sampler_count_sockets(int proc_fd, const struct processes *processes, int64_t *ret_count)
{
	struct inodes inodes = { 0 };
	int64_t count = 0;
	int code = 0;

	for (size_t i = 0; i < processes->count && code == 0; i++)
		if (processes->items[i].pid > 0)
			code = list_sockets(proc_fd, processes->items[i].pid, &inodes);
	if (inodes.count)
		qsort(inodes.items, inodes.count, sizeof(*inodes.items), compare);
	for (size_t i = 0; i < inodes.count; i++)
		count += i == 0 || inodes.items[i] != inodes.items[i - 1];
	free(inodes.items);
	if (code == 0)
		*ret_count = count;
	return code;
}
