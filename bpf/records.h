/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the BPF programs and user space share: the rows that are counted into, and their layout.
 *
 * Declarations only: this file is given to cffi's cdef as well. C code includes records_abi.h,
 * which brings the types and checks the sizes. Every change of a struct here, or of a field's
 * meaning, raises SASM_LAYOUT_VERSION: maps pinned by an older daemon are then replaced.
 */

#define SASM_LAYOUT_MAGIC 0x314E5541	/* "AUN1" */
#define SASM_LAYOUT_VERSION 2

/*
 * One agent's figures on one CPU: rows[slot * cpus + cpu]. Monotone; the agent's figure is the
 * sum over the CPUs. Two cache lines, so that no two CPUs write one line, and the first holds
 * what is written per syscall and per context switch.
 *
 * Plain additions are enough where a field has one program that writes it: a program runs on one
 * CPU from start to end, and the kernel does not let a tracing program interrupt itself there (it
 * counts a miss instead, which is read as a drop). Faults have two writers, and a packet's program
 * may be preempted by the same program of another packet: those additions are atomic.
 */
struct sasm_row {
	uint64_t generation;	/* of the slot's binding; only user space writes it */
	uint64_t syscalls;
	uint64_t io_calls;	/* of syscalls: the read and write families */
	uint64_t switches;	/* context switches away from the agent's threads */
	uint64_t forks;		/* processes made, threads not */
	uint64_t execs;
	uint64_t exits;		/* processes ended, each once, however many threads */
	uint64_t exits_error;	/* of these: with a code other than 0 */
	uint64_t exits_signal;	/* of these: by a signal */
	uint64_t last_exit_ns;	/* CLOCK_BOOTTIME; written after the next two */
	int32_t last_exit_pid;
	int32_t last_exit_status;	/* as waitpid(2) gives it */
	uint64_t page_faults;	/* minor and major, as getrusage(2) counts them */
	uint64_t major_faults;	/* of these: those that had to wait for a page to be read */
	uint64_t network_receive_bytes;	/* of IP, without the headers of IP, TCP and UDP */
	uint64_t network_transmit_bytes;
	uint64_t reserved[1];
};

/*
 * Which slot the thread that runs on a CPU counts into: `tag` has the generation of the slot's
 * binding in its upper half and the slot in its lower; 0: no agent's thread. True for `task` as
 * long as the epoch is the state's.
 */
struct sasm_cpu {
	uint64_t epoch;
	uint64_t tag;
	uint64_t task;		/* the thread's address in the kernel */
	uint64_t registers;	/* where its registers are saved, once it has made a syscall */
	uint64_t faults;	/* that it had when it was switched in; UINT64_MAX: not known */
	uint64_t reserved[3];
};

/* Syscall numbers that are counted apart; the last place takes all others and 32-bit programs'. */
#define SASM_CALLS 512
#define SASM_CALLS_OTHER 511

/* On a host with more CPUs than this, several share a place of these: 4 KiB each. */
#define SASM_LANES_MAX 8

/*
 * One agent's syscalls by number: calls[slot * lanes + lane]. Not mapped: a mapped map is charged
 * whole to whoever maps it, and this one is 4 MiB per lane for 1,024 slots.
 */
struct sasm_calls {
	uint64_t counts[SASM_CALLS];
};

/*
 * What is known about one thread of an agent. Kept by the kernel and freed with the thread. No
 * field of 32 bits: BCC's compiler cannot compare and swap those.
 */
struct sasm_thread {
	uint64_t tag;		/* whose it was when it was last looked at */
	uint64_t minor_faults;	/* of it, that are in the agent's row already */
	uint64_t major_faults;
	uint64_t has_ended;	/* on a leader: the end of its process was counted */
	uint64_t has_executed;	/* on a leader: a program's start was told, so is its end */
};

/* Some 1,100 processes that start a program and end; read at least once a second. */
#define SASM_EXEC_RING_BYTES 262144

#define SASM_EXEC_PATH_BYTES 128
#define SASM_EXEC_COMM_BYTES 16

/* A program's start, or the end of a process that started one; `path` and `comm` are the start's. */
struct sasm_exec {
	uint64_t time_ns;	/* CLOCK_BOOTTIME */
	uint64_t tag;
	int32_t pid;
	int32_t status;		/* of an end, as waitpid(2) gives it */
	uint32_t is_end;
	uint32_t path_bytes;	/* with the NUL; SASM_EXEC_PATH_BYTES: perhaps cut short */
	char comm[SASM_EXEC_COMM_BYTES];
	char path[SASM_EXEC_PATH_BYTES];	/* as it was given to execve(2); cut short at the end */
};

/* Why something could not be counted. */
enum sasm_drop {
	SASM_DROP_ROW,		/* a tag led to no row */
	SASM_DROP_CLAIM,	/* no memory to see that a process ends only once */
	SASM_DROP_THREAD,	/* no memory to note a thread's faults; those of it so far are lost */
	SASM_DROP_EXEC,		/* the ring of starts and ends was full */
	SASM_DROP_PACKET,	/* a packet's headers could not be read */
	SASM_DROP_SOCKET,	/* no memory to see which bytes came twice; such may be counted twice */
	SASM_DROP_NUM
};

struct sasm_state {
	uint64_t epoch;		/* raised when any thread's slot may have changed */
	uint64_t root_address;	/* of the agents' root cgroup, once seen; 0: not yet */
	uint64_t drops[SASM_DROP_NUM];
};

/* How the pinned maps were made. */
struct sasm_layout {
	uint32_t magic;
	uint32_t version;
	uint32_t slots_max;
	uint32_t cpus;
	uint32_t root_level;
	uint32_t lanes;
	uint64_t root_id;
	uint64_t object_hash;	/* of the programs, so that an upgrade installs its own */
};
