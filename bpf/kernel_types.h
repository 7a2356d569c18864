/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few fields of the kernel's own types that the programs read, instead of a generated
 * vmlinux.h of 3 MB. The offsets are filled in at load time from the running kernel's BTF, so the
 * order here means nothing. Sources: Linux 6.1, include/linux/{sched.h,sched/signal.h,
 * cgroup-defs.h,kernfs.h,binfmts.h}, arch/x86/include/asm/{ptrace.h,segment.h}; checked on 6.1,
 * 6.12 and 6.18.
 */
#pragma once

#include <stdint.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	uint64_t id;
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[];	/* by level, itself last; since 6.1 */
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;		/* threads that have not begun to exit */
	int nr_threads;		/* threads that are not yet released */
	int group_exit_code;
	unsigned int flags;
};

struct task_struct {
	int pid;
	int tgid;
	int exit_code;
	unsigned long min_flt;
	unsigned long maj_flt;
	struct css_set *cgroups;
	struct signal_struct *signal;
	struct task_struct *group_leader;
};

struct pt_regs {
	unsigned short cs;	/* since 6.9 in a union, before that an unsigned long */
};

struct linux_binprm {
	const char *filename;
};

struct bpf_iter_meta;

struct bpf_iter__cgroup {
	struct bpf_iter_meta *meta;
	struct cgroup *cgroup;
};

#pragma clang attribute pop

/* signal_struct.flags, include/linux/sched/signal.h */
#define SIGNAL_GROUP_EXIT 0x00000004

/* pt_regs.cs of a thread that runs 32-bit code: its syscalls have other numbers. */
#define USER32_CS 0x23
