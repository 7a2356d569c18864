/* SPDX-License-Identifier: Apache-2.0 */
/* Birth: one clone3 straight into a cgroup, at a cost that does not grow with anything. */
#pragma once
#include "protocol.h"

#include <stdint.h>
#include <sys/types.h>

/* Occupy the fixed low descriptors that a child is born with. Once, at start. 0 or -errno. */
int sasm_spawn_reserve_descriptors(void);

struct sasm_birth {
	pid_t pid;
	int pidfd;
	int status_fd; /* non-blocking read end */
	int exec_result; /* -errno when asm-exec itself could not be executed; its exit follows */
};

/*
 * Start `program_fd` (asm-exec) in the cgroup. `fds` are those that came with the order
 * (enum sasm_spawn_fd): spec, out, err and gate become descriptors of the child; all stay open here:
 * the caller closes them. *ret is set on success only and its descriptors belong to the caller. 0 or
 * -errno.
 */
int sasm_spawn(int program_fd, const int fds[SASM_SPAWN_FD_NUM], struct sasm_birth *ret);

/* Start asmd itself: an ordinary program with the keeper's stdio, no cgroup change. 0 or -errno. */
int sasm_spawn_daemon(char *const argv[], pid_t *ret_pid, int *ret_pidfd);
