/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What ran: the start of each program of an agent, and the end of its process, told to user space.
 *
 * Of all that is counted only this is streamed, for programs are named one by one. The reader comes
 * once a second anyway and is woken only when the ring is half full, so that a burst of short
 * processes costs it one wake-up and not one per process. What finds no room is counted.
 */
#pragma once

#include "running_slot.bpf.h"

static __always_inline void tell(struct sasm_exec *event)
{
	bool is_filling = bpf_ringbuf_query(&exec_ring, BPF_RB_AVAIL_DATA) > SASM_EXEC_RING_BYTES / 2;

	bpf_ringbuf_submit(event, is_filling ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

static __always_inline void fill(struct sasm_exec *event, struct task_struct *task, uint64_t tag)
{
	event->time_ns = bpf_ktime_get_boot_ns();
	event->tag = tag;
	event->pid = FIELD(task, tgid);
	event->status = 0;
	event->is_end = 0;
	event->path_bytes = 0;
}

/* Returns whether there was room. */
static __always_inline bool tell_start(struct task_struct *task, uint64_t tag,
				       struct linux_binprm *program)
{
	struct sasm_exec *event = bpf_ringbuf_reserve(&exec_ring, sizeof(*event), 0);
	long bytes;

	if (!event) {
		__sync_fetch_and_add(&state.drops[SASM_DROP_EXEC], 1);
		return false;
	}
	fill(event, task, tag);
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	bytes = bpf_probe_read_kernel_str(event->path, sizeof(event->path), FIELD(program, filename));
	event->path_bytes = bytes < 0 ? 0 : (uint32_t)bytes;
	tell(event);
	return true;
}

static __always_inline void tell_end(struct task_struct *task, uint64_t tag, int status)
{
	struct sasm_exec *event =
		bpf_ringbuf_reserve(&exec_ring, offsetof(struct sasm_exec, comm), 0);

	if (!event) {
		__sync_fetch_and_add(&state.drops[SASM_DROP_EXEC], 1);
		return;
	}
	fill(event, task, tag);
	event->is_end = 1;
	event->status = status;
	tell(event);
}
