// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Counts, per agent with all its descendants: syscalls, also by number, context switches, page
 * faults, forks, execs, exits, network bytes; and tells which programs ran.
 *
 * An agent is a cgroup right below the agents' root, with everything in and under it. Which row a
 * thread counts into is running_slot.bpf.h's business; here is what is counted, and when.
 *
 * Hooks: tp_btf (the cheapest kind; arguments are the kernel's own pointers) and cgroup_skb, once,
 * on the agents' root; README.md has the table. Needs Linux 6.1 (cgroup.ancestors, recursion guard
 * of raw tracepoints), BTF, CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN. Read by native/probes.c and the sampler, through the mapped maps.
 */
#include "exec_ring.bpf.h"
#include "packet.bpf.h"
#include "running_slot.bpf.h"
#include "thread_faults.bpf.h"

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

/* Counts the call by its number; the thread's row on this CPU is known to be bound. */
static __always_inline void count_by_number(uint64_t tag, uint32_t cpu, uint64_t number)
{
	bool is_alone = lanes == cpus_max; /* this CPU has its lane for itself */
	uint32_t lane = is_alone ? cpu : cpu & (SASM_LANES_MAX - 1);
	uint32_t index = (uint32_t)tag * lanes + lane;
	struct sasm_calls *by_number = bpf_map_lookup_elem(&calls, &index);

	if (!by_number) {
		__sync_fetch_and_add(&state.drops[SASM_DROP_ROW], 1);
		return;
	}
	if (number > SASM_CALLS_OTHER)
		number = SASM_CALLS_OTHER;
	if (is_alone)
		by_number->counts[number]++;
	else
		__sync_fetch_and_add(&by_number->counts[number], 1);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter, struct pt_regs *registers, long number)
{
	uint32_t cpu = bpf_get_smp_processor_id();
	struct sasm_cpu *here = find_cpu(cpu);
	struct sasm_row *row;

	if (!here)
		return 0;
	if (refresh_by_registers(here, (uint64_t)registers) && here->tag)
		mark_thread(bpf_get_current_task_btf(), here->tag);
	if (!here->tag)
		return 0;
	row = find_row(here->tag, cpu);
	if (!row)
		return 0;
	row->syscalls++;
	if (is_io_call(number))
		row->io_calls++;
	count_by_number(here->tag, cpu,
			FIELD(registers, cs) == USER32_CS ? SASM_CALLS_OTHER : (uint64_t)number);
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
		if (row) {
			row->switches++;
			if (here->faults != faults_of(previous))
				count_faults(row, previous, here->tag);
		}
	}
	note(here, next, here->epoch);
	if (here->tag)
		here->faults = faults_of(next);
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
	uint64_t tag, child_tag = find_tag(child); /* the keeper's are born into an agent */
	struct sasm_row *row = current_row(&tag);

	if (child_tag)
		mark_thread(child, child_tag);
	if (row && FIELD(child, pid) == FIELD(child, tgid))
		row->forks++;
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(sched_process_exec, struct task_struct *task, int old_pid,
	     struct linux_binprm *program)
{
	uint64_t tag;
	struct sasm_row *row = current_row(&tag);
	struct sasm_thread *mark;
	bool is_told;

	if (!row)
		return 0;
	row->execs++;
	is_told = tell_start(task, tag, program);
	/* The thread that executes a program is its leader from here on. */
	mark = find_mark(task);
	if (mark)
		mark->has_executed = is_told;
	return 0;
}

/* Has another thread of this leader's process told of the end? */
static __always_inline bool is_claimed(struct task_struct *leader)
{
	struct sasm_thread *mark = find_mark(leader);

	return mark && mark->has_ended;
}

/* Is it up to this thread to tell of the end? If no mark can be made, yes: told twice is a drop. */
static __always_inline bool claim(struct task_struct *leader)
{
	struct sasm_thread *mark = make_mark(leader);

	if (!mark) {
		__sync_fetch_and_add(&state.drops[SASM_DROP_CLAIM], 1);
		return true;
	}
	return __sync_val_compare_and_swap(&mark->has_ended, 0, 1) == 0;
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

/* As wait(2) reports it, kernel/exit.c, wait_task_zombie(). */
static __always_inline int status_of(struct task_struct *task)
{
	struct signal_struct *signal = FIELD(task, signal);
	struct task_struct *leader = FIELD(task, group_leader);

	if (FIELD(signal, flags) & SIGNAL_GROUP_EXIT)
		return FIELD(signal, group_exit_code);
	return FIELD(leader, exit_code);
}

static __always_inline void count_exit(struct sasm_row *row, struct task_struct *task, uint64_t tag)
{
	struct sasm_thread *leader = find_mark(FIELD(task, group_leader));
	int status = status_of(task);

	row->exits++;
	if (status & 0x7f)
		row->exits_signal++;
	else if (status)
		row->exits_error++;
	row->last_exit_pid = FIELD(task, tgid);
	row->last_exit_status = status;
	*(volatile uint64_t *)&row->last_exit_ns = bpf_ktime_get_boot_ns();
	if (leader && leader->has_executed)
		tell_end(task, tag, status);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sched_process_exit, struct task_struct *task)
{
	uint64_t tag;
	struct sasm_row *row = current_row(&tag);

	if (!row)
		return 0;
	count_faults(row, task, tag);
	if (is_last_thread(task))
		count_exit(row, task, tag);
	forget_mark(task);
	return 0;
}

SEC("cgroup_skb/ingress")
int receive(struct __sk_buff *packet)
{
	uint64_t bytes = 0;
	struct sasm_row *row = packet_row(packet, true, &bytes);

	if (row)
		__sync_fetch_and_add(&row->network_receive_bytes, bytes);
	return 1; /* lets it pass */
}

SEC("cgroup_skb/egress")
int transmit(struct __sk_buff *packet)
{
	uint64_t bytes = 0;
	struct sasm_row *row = packet_row(packet, false, &bytes);

	if (row)
		__sync_fetch_and_add(&row->network_transmit_bytes, bytes);
	return 1;
}
