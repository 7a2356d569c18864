/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Live questions to the running kernel: each does the thing itself in its smallest form, since
 * neither a version number nor a configuration file tells whether it is allowed here.
 *
 * All return 0 or -errno unless it says otherwise, take a millisecond at most, leave nothing.
 *
 * Declarations only: this file is included and given to cffi's cdef.
 */

/* linux/bpf.h, enum bpf_map_type */
#define SASM_SUPPORT_RINGBUF 27
#define SASM_SUPPORT_TASK_STORAGE 29
#define SASM_SUPPORT_CGRP_STORAGE 32

/* Can a map of this type be made? -EOPNOTSUPP: no. */
int sasm_support_map(uint32_t type);

/* Can a program be loaded and attached at a BTF-typed raw tracepoint? */
int sasm_support_tracing(void);

/* Can an LSM program be loaded and attached, and is it called? -ENOEXEC: never called. */
int sasm_support_lsm(void);

/* The Landlock ABI's version, or -errno. */
int sasm_support_landlock(void);

/* Does seccomp know user notification? */
int sasm_support_seccomp_notify(void);

/* Does a pidfd tell how its process ended, after it was reaped? */
int sasm_support_pidfd_exit(void);

/* Can all of this cgroup be killed, or frozen, at once? */
int sasm_support_cgroup_kill(int cgroup_fd);
int sasm_support_cgroup_freeze(int cgroup_fd);
