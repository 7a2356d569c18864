/* SPDX-License-Identifier: Apache-2.0 */
/* Figures from /proc/PID: files of lines "Key: number". */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The beginning of a process's file as a string. -ENOENT, -ESRCH: it has ended. */
int sasm_proc_read(int proc_fd, pid_t pid, const char *name, char *text, size_t size);

/* The number behind `key`, which is given as "\nKey:"; 0 where there is none. */
int64_t sasm_proc_find(const char *text, const char *key);
