/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the counting programs reach their constants, their maps and the kernel's fields when they
 * are compiled once for all kernels (CO-RE). by_bcc.bpf.h has the same names for BCC.
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "kernel_types.h"
#include "records_abi.h"

const volatile uint32_t cpus_max;	/* possible CPUs of this host */
const volatile uint32_t root_level;	/* of the agents' root cgroup */
const volatile uint64_t root_id;

struct sasm_state state = {};

/* Size set at load: slots_max * cpus_max. Mapped by the sampler, hence not a per-CPU type. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct sasm_row);
} rows SEC(".maps");

/* Size set at load: cpus_max. Mapped: it tells the sampler who is on a CPU right now. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct sasm_cpu);
} cpus SEC(".maps");

/* Cgroup id of an agent to its tag. Preallocated: user space binds without a failure later. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, uint64_t);
	__type(value, uint64_t);
} tags SEC(".maps");

/* On the leader of a thread group: 1 when its end was counted. Freed with the task. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, uint32_t);
} claims SEC(".maps");

/* How these maps were made; written by user space before they are pinned. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct sasm_layout);
} layout SEC(".maps");

/* A field of a kernel object that the verifier knows by its BTF type: a plain load. */
#define FIELD(pointer, member) ((pointer)->member)

/* Two threads of a process making one mark at once; more tries than that are never needed. */
#define CLAIM_TRIES 4

/* Has another thread of this leader's process told of the end? */
static __always_inline bool is_claimed(struct task_struct *leader)
{
	return bpf_task_storage_get(&claims, leader, 0, 0) != NULL;
}

/* Is it up to this thread to tell of the end? If no mark can be made, yes: told twice is a drop. */
static __always_inline bool claim(struct task_struct *leader)
{
	uint32_t *mark = 0;

	/* Making it fails when the other thread makes it at this moment: then it is there, next time. */
	for (int i = 0; i < CLAIM_TRIES; i++) {
		mark = bpf_task_storage_get(&claims, leader, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (mark)
			break;
	}
	if (!mark) {
		__sync_fetch_and_add(&state.drops[SASM_DROP_CLAIM], 1);
		return true;
	}
	return __sync_val_compare_and_swap(mark, 0, 1) == 0;
}
