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
const volatile uint32_t lanes;	/* of syscalls by number: cpus_max, at most SASM_LANES_MAX */
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

/* Size set at load: slots_max * lanes. Not mapped, hence read by a call. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct sasm_calls);
} calls SEC(".maps");

/* Freed with the task. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sasm_thread);
} threads SEC(".maps");

/* Up to which sequence number the TCP socket's received bytes are counted. Freed with the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, uint64_t);
} received SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SASM_EXEC_RING_BYTES);
} exec_ring SEC(".maps");

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
#define MARK_TRIES 4

/* What is remembered of the thread; NULL: nothing. */
static __always_inline struct sasm_thread *find_mark(struct task_struct *task)
{
	return bpf_task_storage_get(&threads, task, 0, 0);
}

/* The same, made empty where there is none; NULL: no memory. Never under the scheduler's lock. */
static __always_inline struct sasm_thread *make_mark(struct task_struct *task)
{
	struct sasm_thread *mark = 0;

	/* Making it fails when another thread makes it at this moment: then it is there, next time. */
	for (int i = 0; i < MARK_TRIES; i++) {
		mark = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (mark)
			break;
	}
	return mark;
}

static __always_inline bool is_listening(const struct bpf_sock *socket)
{
	return socket->state == BPF_TCP_LISTEN;
}

/* Of a thread that ends: the kernel frees its mark with it. */
static __always_inline void forget_mark(struct task_struct *task)
{
}

/* Up to which number the socket's received bytes are counted; made as `begin`; NULL: no memory. */
static __always_inline uint64_t *make_received(struct __sk_buff *packet, struct bpf_sock *socket,
					       uint64_t begin)
{
	return bpf_sk_storage_get(&received, socket, &begin, BPF_SK_STORAGE_GET_F_CREATE);
}
