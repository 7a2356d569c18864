// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Counts, per agent with all its descendants: syscalls, context switches, forks, execs, exits.
 *
 * An agent is a cgroup right below the agents' root, with everything in and under it. Which row a
 * thread counts into is running_slot.bpf.h's business; here is what is counted, and when.
 *
 * Hooks: tp_btf (the cheapest kind; arguments are the kernel's own pointers); README.md has the
 * table. Needs Linux 6.1 (cgroup.ancestors, recursion guard of raw tracepoints), BTF, CAP_BPF and
 * CAP_PERFMON. Read by native/probes.c and the sampler, through the mapped maps.
 */
#include "running_slot.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* Numbers of x86-64: read write pread64 pwrite64 readv writev sendfile, and the later ones. */
#define IO_CALLS_LOW (1ULL << 0 | 1ULL << 1 | 1ULL << 17 | 1ULL << 18 | 1ULL << 19 | 1ULL << 20 | \
		      1ULL << 40)
#define IO_PREADV 295
#define IO_PWRITEV 296
#define IO_COPY_FILE_RANGE 326
#define IO_PREADV2 327
#define IO_PWRITEV2 328

static __always_inline bool is_io_call(uint64_t number)
{
	if (number < 64)
		return IO_CALLS_LOW >> number & 1;
	return number == IO_PREADV || number == IO_PWRITEV ||
	       (number >= IO_COPY_FILE_RANGE && number <= IO_PWRITEV2);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter, void *registers, long number)
{
	struct sasm_row *row = current_row_by_registers((uint64_t)registers);

	if (!row)
		return 0;
	row->syscalls++;
	if (is_io_call(number))
		row->io_calls++;
	return 0;
}

/* Notes who runs now. That an agent was switched away tells the sampler that it has run. */
SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool is_preempted, struct task_struct *previous,
	     struct task_struct *next)
{
	uint32_t cpu = bpf_get_smp_processor_id();
	struct sasm_cpu *here = find_cpu(cpu);
	struct sasm_row *row;

	if (!here)
		return 0;
	refresh(here, previous);
	if (here->tag) {
		row = find_row(here->tag, cpu);
		if (row)
			row->switches++;
	}
	note(here, next, here->epoch);
	return 0;
}

/* A thread group was moved to another cgroup; it may be running, on any CPU. */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(cgroup_attach_task)
{
	__sync_fetch_and_add(&state.epoch, 1);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(sched_process_fork, struct task_struct *parent, struct task_struct *child)
{
	struct sasm_row *row = current_row();

	if (row && FIELD(child, pid) == FIELD(child, tgid))
		row->forks++;
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(sched_process_exec)
{
	struct sasm_row *row = current_row();

	if (row)
		row->execs++;
	return 0;
}

/*
 * Is this the one thread whose exit ends the process? Threads that exit at the same time may all
 * see that none is left, so the first to mark the leader is it. The last of them may be alone by
 * then, the others released; it looks for a mark and leaves none, which spares the processes of
 * one thread. The old leader that exec(2) from another thread ends is not the last: the thread
 * that execs is still alive.
 */
static __always_inline bool is_last_thread(struct task_struct *task)
{
	struct signal_struct *signal = FIELD(task, signal);
	struct task_struct *leader = FIELD(task, group_leader);

	if (FIELD(signal, live.counter) != 0)
		return false;
	return FIELD(signal, nr_threads) == 1 ? !is_claimed(leader) : claim(leader);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sched_process_exit, struct task_struct *task)
{
	struct sasm_row *row = current_row();
	struct signal_struct *signal;
	int status;

	if (!row || !is_last_thread(task))
		return 0;
	signal = FIELD(task, signal);
	/* As wait(2) reports it, kernel/exit.c, wait_task_zombie(). */
	if (FIELD(signal, flags) & SIGNAL_GROUP_EXIT)
		status = FIELD(signal, group_exit_code);
	else
		status = FIELD(FIELD(task, group_leader), exit_code);
	row->exits++;
	if (status & 0x7f)
		row->exits_signal++;
	else if (status)
		row->exits_error++;
	row->last_exit_pid = FIELD(task, tgid);
	row->last_exit_status = status;
	*(volatile uint64_t *)&row->last_exit_ns = bpf_ktime_get_boot_ns();
	return 0;
}
