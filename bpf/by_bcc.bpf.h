/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the counting programs reach their constants, their maps and the kernel's fields when BCC
 * compiles them on the host, with the headers of its kernel, for want of BTF (docs/decisions/0041).
 *
 * BCC is the compiler here and no more. It makes no map and rewrites no pointer: a map is named by
 * its place in the list that native/probes_compiled.c hands to the kernel with the program
 * (SASM_MAP_<name>, given on BCC's command line), the constants are in the map `layout`, and a field
 * of the kernel's is read by helper. So what is compiled serves any daemon on this kernel.
 */
#pragma once

#include <linux/errno.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/cgroup-defs.h>
#include <linux/kernfs.h>
#include <linux/ptrace.h>
#include <linux/binfmts.h>

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

/* Both kinds of reference are resolved by the kernel, by place in the list of maps (5.13). */
#define MAP(number) (*(struct bpf_map *)bpf_pseudo_fd(BPF_PSEUDO_MAP_IDX, number))
#define MAP_VALUE(type, number) (*(type *)bpf_pseudo_fd(BPF_PSEUDO_MAP_IDX_VALUE, number))

/* These name fields that are maps' names, too, from here on. */
static __always_inline uint32_t layout_cpus(void)
{
	return MAP_VALUE(const struct sasm_layout, SASM_MAP_layout).cpus;
}

static __always_inline uint32_t layout_lanes(void)
{
	return MAP_VALUE(const struct sasm_layout, SASM_MAP_layout).lanes;
}

static __always_inline bool is_listening(const struct bpf_sock *socket)
{
	return socket->state == BPF_TCP_LISTEN;
}

#define cpus_max layout_cpus()
#define lanes layout_lanes()
#define root_level (MAP_VALUE(const struct sasm_layout, SASM_MAP_layout).root_level)
#define root_id (MAP_VALUE(const struct sasm_layout, SASM_MAP_layout).root_id)

#define rows MAP(SASM_MAP_rows)
#define cpus MAP(SASM_MAP_cpus)
#define tags MAP(SASM_MAP_tags)
#define threads MAP(SASM_MAP_threads)
#define calls MAP(SASM_MAP_calls)
#define exec_ring MAP(SASM_MAP_exec_ring)
#define received MAP(SASM_MAP_received)
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

/* arch/x86/include/asm/segment.h */
#define USER32_CS 0x23

/* As long as a thread lives no other has its pid, and no other ever begins with it at that time. */
struct thread_key {
	uint64_t start_ns;
	uint64_t pid;
};

static __always_inline struct thread_key thread_key_of(struct task_struct *task)
{
	return (struct thread_key){ FIELD(task, start_boottime), FIELD(task, pid) };
}

/* What is remembered of the thread; NULL: nothing. */
static __always_inline struct sasm_thread *find_mark(struct task_struct *task)
{
	struct thread_key key = thread_key_of(task);

	return bpf_map_lookup_elem(&threads, &key);
}

/* The same, made empty where there is none; NULL: no memory. */
static __always_inline struct sasm_thread *make_mark(struct task_struct *task)
{
	struct thread_key key = thread_key_of(task);
	struct sasm_thread none = {};

	bpf_map_update_elem(&threads, &key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&threads, &key);
}

/*
 * Of a thread that ends. Left to age, the marks of 16,384 short threads would push out that of one
 * that sleeps. A leader's must stay as long as another thread may ask who has told of the end.
 */
static __always_inline void forget_mark(struct task_struct *task)
{
	struct signal_struct *signal = FIELD(task, signal);
	struct thread_key key = thread_key_of(task);

	if (FIELD(task, group_leader) != task || FIELD(signal, nr_threads) == 1)
		bpf_map_delete_elem(&threads, &key);
}

/* Up to which number the socket's received bytes are counted; made as `begin`; NULL: no memory. */
static __always_inline uint64_t *make_received(struct __sk_buff *packet, struct bpf_sock *socket,
					       uint64_t begin)
{
	uint64_t cookie = bpf_get_socket_cookie(packet);

	bpf_map_update_elem(&received, &cookie, &begin, BPF_NOEXIST);
	return bpf_map_lookup_elem(&received, &cookie);
}
