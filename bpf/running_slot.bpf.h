/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which agent's row does the running thread count into? The one answer that all programs of
 * counting.bpf.c share.
 *
 * Finding the agent of a thread takes its cgroup's ancestor and a hash lookup, 60 ns or more. So it
 * is done once, when the thread is switched in, and noted for the CPU; every other program reads
 * that note. Counting a syscall then costs two array accesses, for agents and for strangers, on
 * any kernel from 6.1, and cgroup storage is not needed (docs/decisions/0021).
 *
 * A note is believed only for the thread that it is about: a host may hide some switches from
 * tracing (ours hides those away from its own agents' threads), and then the note is of another
 * thread. sys_enter tells threads apart by the address of their saved registers, which it is
 * given and which is one per thread; the others by the task's.
 *
 * A note goes stale when the running thread is moved to another cgroup or when a slot is bound
 * or unbound: both raise the epoch, and a note of another epoch is made again.
 */
#pragma once

#ifdef SASM_BCC
#include "by_bcc.bpf.h"
#else
#include "by_core.bpf.h"
#endif

/* That a thread may have had other faults than the note says. */
#define FAULTS_UNKNOWN (~0ULL)

static __always_inline uint64_t cgroup_id(uint64_t address)
{
	return BPF_CORE_READ((struct cgroup *)address, kn, id);
}

/*
 * Returns the tag of the agent in whose cgroup, at any depth, the thread is; 0: in none. The
 * address of the agents' root, once known, spares strangers at the same depth (on a systemd host:
 * every process) all further reads.
 */
static __always_inline uint64_t find_tag(struct task_struct *task)
{
	struct cgroup *cgroup = FIELD(FIELD(task, cgroups), dfl_cgrp);
	uint64_t path[2] = {}; /* the cgroups at the root's level and one below it */
	uint64_t *tag, id;

	if (FIELD(cgroup, level) <= (int)root_level)
		return 0;
	bpf_probe_read_kernel(path, sizeof(path),
			      (char *)cgroup + bpf_core_field_offset(struct cgroup, ancestors) +
				      sizeof(path[0]) * root_level);
	if (path[0] != state.root_address) {
		if (cgroup_id(path[0]) != root_id)
			return 0;
		state.root_address = path[0];
	}
	id = cgroup_id(path[1]);
	tag = bpf_map_lookup_elem(&tags, &id);
	return tag ? *tag : 0;
}

/* Returns the row that a tag means on this CPU; NULL: none, or the slot is no longer bound so. */
static __always_inline struct sasm_row *find_row(uint64_t tag, uint32_t cpu)
{
	uint32_t index = (uint32_t)tag * cpus_max + cpu;
	struct sasm_row *row = bpf_map_lookup_elem(&rows, &index);

	if (!row) {
		__sync_fetch_and_add(&state.drops[SASM_DROP_ROW], 1);
		return NULL;
	}
	return row->generation == tag >> 32 ? row : NULL;
}

static __always_inline struct sasm_cpu *find_cpu(uint32_t cpu)
{
	return bpf_map_lookup_elem(&cpus, &cpu);
}

static __always_inline void note(struct sasm_cpu *here, struct task_struct *task, uint64_t epoch)
{
	here->tag = find_tag(task);
	here->task = (uint64_t)task;
	here->registers = 0;
	here->faults = FAULTS_UNKNOWN;
	here->epoch = epoch;
}

/* Makes the note true for the thread, which runs here or did until this switch. */
static __always_inline void refresh(struct sasm_cpu *here, struct task_struct *task)
{
	/* Read before the thread's cgroup, so that a later move is seen the next time. */
	uint64_t epoch = *(volatile uint64_t *)&state.epoch;

	if (here->task != (uint64_t)task || here->epoch != epoch)
		note(here, task, epoch);
}

/* Returns the row that the running thread counts into, and its tag; NULL for a stranger. */
static __always_inline struct sasm_row *current_row(uint64_t *ret_tag)
{
	uint32_t cpu = bpf_get_smp_processor_id();
	struct sasm_cpu *here = find_cpu(cpu);

	if (!here)
		return NULL;
	refresh(here, bpf_get_current_task_btf());
	*ret_tag = here->tag;
	return here->tag ? find_row(here->tag, cpu) : NULL;
}

/*
 * Makes the note true for a thread that has just entered the kernel, without asking who it is. Says
 * whether it was asked after all: at the first syscall of its time on the CPU.
 */
static __always_inline bool refresh_by_registers(struct sasm_cpu *here, uint64_t registers)
{
	if (here->registers == registers && here->epoch == state.epoch)
		return false;
	refresh(here, bpf_get_current_task_btf());
	here->registers = registers;
	return true;
}
