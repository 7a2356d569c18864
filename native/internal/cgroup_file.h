/* SPDX-License-Identifier: Apache-2.0 */
/* Figures from cgroup files: by a kept-open fd, or below a cgroup's directory fd. */
#pragma once

#include <stdint.h>

/* Opens a file of the cgroup for reading; -ENOENT: its controller is not there. */
int sasm_cgroup_open(int cgroup_fd, const char *name);

/* usage_usec of an open cpu.stat. */
int sasm_cgroup_read_usage(int stat_fd, int64_t *ret_usage_us);

/* Brings the counts of the cgroup's siblings, and of all below them, up to date at once. */
void sasm_cgroup_flush_siblings(int cgroup_fd);

/* A file that holds one number. */
int sasm_cgroup_read_number(int fd, int64_t *ret_number);

/* "some" of a pressure file, in sum. -ENOENT or -EOPNOTSUPP: the kernel does not measure it. */
int sasm_cgroup_read_pressure(int cgroup_fd, const char *name, int64_t *ret_total_us);

struct sasm_cgroup_memory {
	int64_t anonymous_bytes, shmem_bytes;
	int64_t file_bytes;	/* page cache without shmem */
};

/* memory.stat. -ENOENT: there is no memory controller. */
int sasm_cgroup_read_memory(int cgroup_fd, struct sasm_cgroup_memory *ret_memory);

/* An open io.stat: read and written bytes over all devices. */
int sasm_cgroup_read_blocks(int io_fd, int64_t *ret_read_bytes, int64_t *ret_write_bytes);
