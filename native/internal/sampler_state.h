/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the sampler share: sampler.c and sampler_view.c (the calls), sampler_pass.c
 * (the thread), sampler_measure.c (one agent's figures) with sampler_processes.c (which processes
 * it has), sampler_memory.c, sampler_blocks.c and sampler_sockets.c (what /proc tells of them),
 * sampler_windows.c (seconds).
 *
 * Who may touch what:
 * - `lock` guards the table, the references, and in each agent what is published: sample,
 *   windows, flags. It is never held across a system call that reads a figure.
 * - an agent's `measuring` guards its fds and what measuring remembers. Lock order: measuring,
 *   lock. Who wants to measure holds a reference first, so that a removed agent lives until then.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "internal/probes_state.h"
#include "internal/sampler_processes.h"

/* Every agent is measured at least once in so many passes. */
#define ROUND_PASSES 60

/* A pass reads gauges for so long, of CPU time, less what the counters of those still to come will
 * cost; but for this long at the least. Who had no turn then is first in the next pass.
 */
#define PASS_BUDGET_US 7000
#define COUNTERS_COST_US 5
#define GAUGES_BUDGET_MIN_US 2000

/* So many agents' CPU times are cheaper to read after one flush of all: 3.9 instead of 5.6 us each
 * of 600 that worked.
 */
#define FLUSH_FROM_AGENTS 64

/* Pressure and the kinds of a controller's memory are files that nobody keeps open, so those of an
 * agent that works all the time are read so seldom, and once more when it comes to rest.
 */
#define RARE_INTERVAL_US 5000000

enum depth {
	MEASURE_COUNTERS,	/* what only grows */
	MEASURE_SETTLED,	/* and what is read seldom: it has come to rest */
	MEASURE_ACTIVE,		/* memory, processes, blocks too */
	MEASURE_TURN,		/* and shared memory and sockets, whatever they cost, if it ran */
	MEASURE_ALL		/* everything, even if it did not */
};

enum { PRESSURE_CPU, PRESSURE_MEMORY, PRESSURE_IO, PRESSURES };

/* Figures are SASM_ABSENT where they were not measured. */
struct measurement {
	struct sasm_row counts;
	bool has_counts;
	bool has_gauges;	/* those of the next two lines */
	int64_t memory_bytes, peak_bytes, processes, threads;
	enum sasm_memory_source memory_source;
	struct memory memory;
	int64_t cpu_time_us;
	int64_t block_read_bytes, block_write_bytes;
	int64_t sockets;
	int64_t pressure_us[PRESSURES];
};

struct second {
	int64_t second;		/* of CLOCK_BOOTTIME at its start; 0: never used */
	int64_t cpu_time_us, memory_bytes, syscalls, io_ops, network_bytes;
};

struct agent {
	uint32_t slot;
	int references;

	pthread_mutex_t measuring;
	int cgroup_fd, stat_fd, procs_fd;
	int memory_fd, peak_fd, io_fd;	/* -1: absent */
	struct processes processes;
	struct pss pss;
	struct blocks blocks;
	int64_t cpu_time_us;	/* never goes back */
	int64_t rare_us, rare_cpu_us;	/* when what is read seldom was, and its CPU time then */
	int64_t sockets_cpu_us;	/* its CPU time when its sockets were counted */

	uint64_t scanned_syscalls, scanned_switches; /* at the last pass */
	bool is_new;		/* its gauges were never read */
	bool is_waiting;	/* it ran, and the last pass had no time for its gauges */
	bool is_settling;	/* it ran in the last window: the next one may be all zeros */
	bool is_changed;	/* since it was last asked for */
	int64_t added_us;
	int64_t first_second;	/* the first that is closed for it */
	/* Totals at the last closed window. */
	int64_t closed_cpu_us, closed_syscalls, closed_io, closed_network;
	struct second seconds[SASM_WINDOWS];
	struct sasm_sample sample;
};

/* The span that a pass closes. */
struct span {
	int64_t now_us;
	int64_t elapsed_us;	/* since the pass before */
	int64_t end_second;	/* windows up to here are over */
	int64_t seconds;	/* how many; more than 1 after a standstill */
};

struct sasm_sampler {
	const struct sasm_probes *probes;
	uint32_t slots_max, slots_used; /* slots_used: one above the highest ever taken */
	pthread_mutex_t lock;
	pthread_t thread;
	bool is_started;
	int timer_fd, stop_fd, pass_fd, proc_fd;
	struct agent **agents;		/* by slot */
	struct agent **work;		/* the thread's list of whom to measure */
	enum depth *depths;		/* beside it */
	bool *is_running;		/* by slot: on a CPU when the pass began */
	uint32_t round_slot;
	uint32_t first_slot;		/* whom the next pass begins with */
	bool has_task_io;		/* the kernel has /proc/PID/io */
	int64_t last_pass_us, last_end_second;
	struct sasm_sampler_figures figures;
};

int64_t sasm_sampler_clock_us(void);
void *sasm_sampler_loop(void *sampler);

/* Has the agent run since the last pass? There are probes. Also tells its counts as of now. */
bool sasm_sampler_has_run(const struct sasm_sampler *sampler, const struct agent *agent,
			  uint64_t *ret_syscalls, uint64_t *ret_switches);

/* sampler_measure.c, with `measuring` held. */
void sasm_sampler_measure(struct sasm_sampler *sampler, struct agent *agent, enum depth depth,
			  int64_t now_us, struct measurement *ret_measurement);

/* sampler_windows.c, with `lock` held. Windows begin at what the sample says then. */
void sasm_sampler_begin_windows(struct agent *agent, int64_t now_us);

/* span NULL: totals and gauges only. */
void sasm_sampler_publish(struct agent *agent, const struct measurement *measurement,
			  int64_t now_us, const struct span *span);
int sasm_sampler_list_windows(const struct agent *agent, int64_t end_second,
			      struct sasm_window *ret_windows, uint32_t capacity);

/* sampler.c, with `lock` held. */
void sasm_sampler_drop(struct agent *agent);
