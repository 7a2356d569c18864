/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is remembered of each thread of an agent, and its page faults, which need it.
 *
 * The kernel counts a thread's faults itself, minor and major apart (getrusage(2) shows the same),
 * so nothing runs per fault: when a thread leaves its CPU and when it ends, what it had more than
 * the last time goes to its agent's row. The mark remembers that last time; the CPU's note spares
 * looking for it when there was no fault. What a thread has faulted since it was last switched in
 * is thus not in the row yet (docs/decisions/0023).
 *
 * Marks are made where memory may be asked for: at the birth of a thread, and at the first syscall
 * of one that was there before its agent was. Never at a switch, under the scheduler's lock.
 */
#pragma once

#include "running_slot.bpf.h"

static __always_inline uint64_t faults_of(struct task_struct *task)
{
	return FIELD(task, min_flt) + FIELD(task, maj_flt);
}

/* From here on the thread's faults are the agent's; those that it has had are not. */
static __always_inline void begin_faults(struct sasm_thread *mark, struct task_struct *task,
					 uint64_t tag)
{
	mark->minor_faults = FIELD(task, min_flt);
	mark->major_faults = FIELD(task, maj_flt);
	mark->tag = tag;
}

/* Makes the thread's mark, unless it is there and of the same agent. */
static __always_inline void mark_thread(struct task_struct *task, uint64_t tag)
{
	struct sasm_thread *mark = make_mark(task);

	if (!mark)
		__sync_fetch_and_add(&state.drops[SASM_DROP_THREAD], 1);
	else if (mark->tag != tag)
		begin_faults(mark, task, tag);
}

/* Adds what the thread has faulted since it was last looked at. */
static __always_inline void count_faults(struct sasm_row *row, struct task_struct *task,
					 uint64_t tag)
{
	struct sasm_thread *mark = find_mark(task);
	uint64_t minor, major;

	if (!mark)
		return;
	/* Fewer than noted: with BCC, a thread that has executed a program has its leader's mark. */
	if (mark->tag != tag || FIELD(task, min_flt) < mark->minor_faults) {
		begin_faults(mark, task, tag);
		return;
	}
	minor = FIELD(task, min_flt) - mark->minor_faults;
	major = FIELD(task, maj_flt) - mark->major_faults;
	mark->minor_faults += minor;
	mark->major_faults += major;
	if (minor + major)
		__sync_fetch_and_add(&row->page_faults, minor + major);
	if (major)
		__sync_fetch_and_add(&row->major_faults, major);
}
