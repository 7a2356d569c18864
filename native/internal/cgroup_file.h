/* SPDX-License-Identifier: Apache-2.0 */
/* Figures from cgroup files: by a kept-open fd, or below a cgroup's directory fd. */
#pragma once

#include <stdint.h>

/* Opens a file of the cgroup for reading; -ENOENT: its controller is not there. */
int sasm_cgroup_open(int cgroup_fd, const char *name);

/* usage_usec of an open cpu.stat. */
int sasm_cgroup_read_usage(int stat_fd, int64_t *ret_usage_us);

/* A file that holds one number. */
int sasm_cgroup_read_number(int fd, int64_t *ret_number);
