/* SPDX-License-Identifier: Apache-2.0 */
/* Birth: one clone3 straight into a cgroup, at a cost that does not grow with anything. */
#pragma once
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
 * Start `program_fd` (asm-exec) in the cgroup. `spec`, `out` and `err` become its descriptors 3, 4
 * and 5 and stay open here: the caller closes them. *ret is set on success only and its descriptors
 * belong to the caller. 0 or -errno.
 */
int sasm_spawn(int program_fd, int cgroup_fd, int spec, int out, int err, struct sasm_birth *ret);

/* Start asmd itself: an ordinary program with the keeper's stdio, no cgroup change. 0 or -errno. */
int sasm_spawn_daemon(char *const argv[], pid_t *ret_pid, int *ret_pidfd);
