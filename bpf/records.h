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
 * Plain additions are enough. A program runs on one CPU from start to end, each field has one
 * program that writes it, and the kernel does not let a program interrupt itself on a CPU (it
 * counts a miss instead, which is read as a drop).
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
	uint64_t page_faults;	/* that the agent's threads waited for: minor and major */
	uint64_t major_faults;	/* of these: with a wait for the disk */
	uint64_t network_receive_bytes;	/* of TCP and UDP over IP, without their headers */
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
	uint64_t reserved[4];
};

/* Why something could not be counted. */
enum sasm_drop {
	SASM_DROP_ROW,		/* a tag led to no row */
	SASM_DROP_CLAIM,	/* no memory to see that a process ends only once */
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
	uint32_t reserved;
	uint64_t root_id;
	uint64_t object_hash;	/* of the programs, so that an upgrade installs its own */
};
