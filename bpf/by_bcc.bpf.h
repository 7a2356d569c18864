/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the counting programs reach their constants, their maps and the kernel's fields when BCC
 * compiles them on the host, with the headers of its kernel, for want of BTF (docs/decisions/0041).
 *
 * BCC is the compiler here and no more. It makes no map and rewrites no pointer: a map is named by
 * its place in the list that native/probes_compiled.c hands to the kernel with the program
 * (SASM_MAP_<name>, given on BCC's command line like the constants), and a field is read by helper.
 */
#pragma once

#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/cgroup-defs.h>
#include <linux/kernfs.h>

#include "records.h"

/* Sections are BCC's business: every function that is not static is a program. */
#undef SEC
#define SEC(name)

/* bpf_tracing.h's macro, for a raw tracepoint: its context is the array of its arguments. */
#undef BPF_PROG
#define BPF_PROG(name, args...)                                              \
	name(unsigned long long *ctx);                                       \
	static __always_inline int name##_(unsigned long long *ctx, ##args); \
	int name(unsigned long long *ctx)                                    \
	{                                                                    \
		_Pragma("GCC diagnostic push")                               \
		_Pragma("GCC diagnostic ignored \"-Wint-conversion\"")       \
		return name##_(___bpf_ctx_cast(args));                       \
		_Pragma("GCC diagnostic pop")                                \
	}                                                                    \
	static __always_inline int name##_(unsigned long long *ctx, ##args)

#define cpus_max ((uint32_t)SASM_CPUS_MAX)
#define root_level ((uint32_t)SASM_ROOT_LEVEL)
#define root_id ((uint64_t)SASM_ROOT_ID)

/* Both kinds of reference are resolved by the kernel, by place in the list of maps (5.13). */
#define MAP(number) (*(struct bpf_map *)bpf_pseudo_fd(BPF_PSEUDO_MAP_IDX, number))
#define MAP_VALUE(type, number) (*(type *)bpf_pseudo_fd(BPF_PSEUDO_MAP_IDX_VALUE, number))

#define rows MAP(SASM_MAP_rows)
#define cpus MAP(SASM_MAP_cpus)
#define tags MAP(SASM_MAP_tags)
#define claims MAP(SASM_MAP_claims)
#define state MAP_VALUE(struct sasm_state, SASM_MAP_state)

/* A field of a kernel object that the verifier knows as a number only. */
#define FIELD(pointer, member)                                                    \
	({                                                                        \
		typeof((pointer)->member) field_;                                 \
		bpf_probe_read_kernel(&field_, sizeof(field_), &(pointer)->member); \
		field_;                                                           \
	})
#define BPF_CORE_READ(pointer, first, second) FIELD(FIELD(pointer, first), second)
#define bpf_core_field_offset(type, member) offsetof(type, member)
#define bpf_get_current_task_btf() ((struct task_struct *)bpf_get_current_task())

/* As long as a process lives no other has its pid, and no other ever begins with it at that time. */
struct claim_key {
	uint64_t start_ns;
	uint64_t pid;
};

static __always_inline struct claim_key claim_key_of(struct task_struct *leader)
{
	return (struct claim_key){ FIELD(leader, start_boottime), FIELD(leader, tgid) };
}

/* Has another thread of this leader's process told of the end? */
static __always_inline bool is_claimed(struct task_struct *leader)
{
	struct claim_key key = claim_key_of(leader);

	return bpf_map_lookup_elem(&claims, &key) != NULL;
}

/* Is it up to this thread to tell of the end? If no mark can be made, yes: told twice is a drop. */
static __always_inline bool claim(struct task_struct *leader)
{
	struct claim_key key = claim_key_of(leader);
	uint32_t mark = 1;
	long code = bpf_map_update_elem(&claims, &key, &mark, BPF_NOEXIST);

	if (code != 0 && code != -EEXIST)
		__sync_fetch_and_add(&state.drops[SASM_DROP_CLAIM], 1);
	return code != -EEXIST;
}
