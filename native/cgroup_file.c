/* SPDX-License-Identifier: Apache-2.0 */
/* Reads cgroup files. A kept-open fd costs a tenth of open, read and close. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal/cgroup_file.h"

int sasm_cgroup_open(int cgroup_fd, const char *name)
{
	int fd = openat(cgroup_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

/* Reads the file's beginning as a string. */
static int read_text(int fd, char *text, size_t size)
{
	ssize_t length = pread(fd, text, size - 1, 0);

	if (length < 0)
		return -errno;
	text[length] = '\0';
	return 0;
}

int sasm_cgroup_read_usage(int stat_fd, int64_t *ret_usage_us)
{
	static const char key[] = "usage_usec "; /* the first line; cgroup-v2.rst, "cpu.stat" */
	char text[64];
	int code = read_text(stat_fd, text, sizeof(text));

	if (code < 0)
		return code;
	if (strncmp(text, key, sizeof(key) - 1) != 0)
		return -EPROTO;
	*ret_usage_us = strtoll(text + sizeof(key) - 1, NULL, 10);
	return 0;
}

int sasm_cgroup_read_number(int fd, int64_t *ret_number)
{
	char text[32], *end;
	int code = read_text(fd, text, sizeof(text));
	int64_t number;

	if (code < 0)
		return code;
	number = strtoll(text, &end, 10);
	if (end == text)
		return -EPROTO;
	*ret_number = number;
	return 0;
}

/* Opens, reads and closes: for what is asked for seldom. */
static int read_named(int cgroup_fd, const char *name, char *text, size_t size)
{
	int fd = sasm_cgroup_open(cgroup_fd, name);
	int code;

	if (fd < 0)
		return fd;
	code = read_text(fd, text, size);
	close(fd);
	return code;
}

void sasm_cgroup_flush_siblings(int cgroup_fd)
{
	char text[64];

	/* Reading it adds up all below; what cannot be read here each sibling does for itself. */
	(void)read_named(cgroup_fd, "../cpu.stat", text, sizeof(text));
}

int sasm_cgroup_read_pressure(int cgroup_fd, const char *name, int64_t *ret_total_us)
{
	static const char key[] = " total="; /* Documentation/accounting/psi.rst */
	char text[256];
	int code = read_named(cgroup_fd, name, text, sizeof(text));
	const char *total;

	if (code < 0)
		return code;
	total = strncmp(text, "some ", 5) == 0 ? strstr(text, key) : NULL;
	if (!total)
		return -EPROTO;
	*ret_total_us = strtoll(total + sizeof(key) - 1, NULL, 10);
	return 0;
}

/* The number behind "\nkey ". The file's first line is "anon", so that is found by its start. */
static int64_t find_bytes(const char *text, const char *key)
{
	const char *line = strstr(text, key);

	return line ? strtoll(line + strlen(key), NULL, 10) : 0;
}

int sasm_cgroup_read_memory(int cgroup_fd, struct sasm_cgroup_memory *ret_memory)
{
	char text[4096];
	int code = read_named(cgroup_fd, "memory.stat", text, sizeof(text));

	if (code < 0)
		return code;
	if (strncmp(text, "anon ", 5) != 0)
		return -EPROTO;
	ret_memory->anonymous_bytes = strtoll(text + 5, NULL, 10);
	ret_memory->shmem_bytes = find_bytes(text, "\nshmem ");
	/* "file" counts shmem too; cgroup-v2.rst, "memory.stat". */
	ret_memory->file_bytes = find_bytes(text, "\nfile ") - ret_memory->shmem_bytes;
	return 0;
}

static int64_t sum_bytes(const char *text, const char *key)
{
	int64_t sum = 0;

	for (const char *at = strstr(text, key); at; at = strstr(at, key)) {
		at += strlen(key);
		sum += strtoll(at, NULL, 10);
	}
	return sum;
}

int sasm_cgroup_read_blocks(int io_fd, int64_t *ret_read_bytes, int64_t *ret_write_bytes)
{
	char text[16384]; /* some 80 bytes a device that the cgroup has used */
	int code = read_text(io_fd, text, sizeof(text));

	if (code < 0)
		return code;
	*ret_read_bytes = sum_bytes(text, " rbytes=");
	*ret_write_bytes = sum_bytes(text, " wbytes=");
	return 0;
}
