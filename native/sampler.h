/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sampler: reads every agent's figures once a second and keeps its last 60 windows.
 *
 * One thread, woken at each whole second of CLOCK_BOOTTIME. A pass looks at each agent's rows
 * (some nanoseconds, no system call) and measures only those that ran since the last pass; an idle
 * agent costs next to nothing. A few idle ones are measured in turn, so that every figure is at
 * most about a minute old. Without probes, cpu.stat tells who ran.
 *
 * CPU time is the cgroup's cpu.stat, with the running slice up to the last tick.
 *
 * Memory is memory.current where the cgroup has it; otherwise anonymous and shmem pages over all
 * processes of the cgroup and those below, shared ones once when there is enough to share. Blocks
 * are io.stat, otherwise task I/O accounting (sampler_blocks.c says what that misses).
 *
 * A pass has a budget of CPU time for what is read per process (PASS_BUDGET_US). When more agents run
 * than it is enough for, they take turns: counters are of this second, gauges some seconds old.
 *
 * Calls are thread-safe but open, start and close. None waits for a measurement, except remove and
 * now, which make one. All return 0 or -errno unless it says otherwise.
 *
 * Declarations only: this file is included and given to cffi's cdef.
 */

#define SASM_WINDOWS 60

/* For sasm_sampler_now(): all agents that ran since the last pass. */
#define SASM_ALL_SLOTS 0xFFFFFFFF

/* Stands for a figure that has no source here or was not measured yet. */
#define SASM_ABSENT -1

struct sasm_sampler;

enum sasm_memory_source {
	SASM_MEMORY_NONE,
	SASM_MEMORY_CGROUP,	/* memory.current */
	SASM_MEMORY_RSS,	/* RssAnon + RssShmem of the processes */
	SASM_MEMORY_PSS		/* Pss_Anon + Pss_Shmem, or in proportion to the last such */
};

/* An agent's figures; SASM_ABSENT where there is none. Counters and times only grow. */
struct sasm_sample {
	int64_t slot;
	int64_t agent_id;
	int64_t timestamp_us;
	int64_t cpu_time_us;
	int64_t memory_bytes;
	int64_t peak_memory_bytes;
	int64_t syscall_count;
	int64_t io_ops;
	int64_t process_count;
	int64_t fork_count;
	int64_t exec_count;
	int64_t process_exit_count;
	int64_t error_exit_count;
	int64_t signal_exit_count;
	int64_t last_exit_us;
	int64_t last_exit_pid;
	int64_t last_exit_status;	/* as waitpid(2) gives it */
	int64_t cpu_percent_milli;	/* of the last closed window; 100000: one core */
	int64_t syscall_rate;		/* of the last closed window, per second */
	int64_t last_activity_us;	/* end of the last window in which it ran */
	int64_t memory_source;		/* enum sasm_memory_source */
	int64_t memory_anon_bytes;	/* gauges, at the time of the last measurement */
	int64_t memory_shmem_bytes;
	int64_t memory_file_bytes;	/* not part of memory_bytes, unless that is the cgroup's */
	int64_t thread_count;
	int64_t block_read_bytes;	/* block and network: counters */
	int64_t block_write_bytes;
	int64_t network_receive_bytes;
	int64_t network_transmit_bytes;
	int64_t page_fault_count;	/* minor and major */
	int64_t major_fault_count;
	int64_t context_switch_count;
	int64_t socket_count;	/* open ones of every family, each once */
	int64_t cpu_pressure_us;	/* "some" of PSI, in sum */
	int64_t memory_pressure_us;
	int64_t io_pressure_us;
};

/* One second, from timestamp_us on. */
struct sasm_window {
	int64_t timestamp_us;
	int64_t cpu_time_us;
	int64_t memory_bytes;		/* at its end */
	int64_t syscall_count;
	int64_t io_ops;
	int64_t network_bytes;		/* received and sent */
};

/* What the sampler itself costs. */
struct sasm_sampler_figures {
	int64_t passes;
	int64_t last_pass_us;
	int64_t longest_pass_us;
	int64_t thread_cpu_us;		/* of the sampling thread, since its start */
	int64_t agents;
	int64_t measured;		/* in the last pass */
	int64_t waiting;		/* of these: gauges had to wait for the next */
	int64_t late_seconds;		/* passes that were left out: the host stood still */
	int64_t failures;		/* readings that failed although the cgroup is there */
};

/* The probes, if any, must stay open until the sampler is closed. */
int sasm_sampler_open(const struct sasm_probes *probes, uint32_t slots_max,
		      struct sasm_sampler **ret_sampler);
int sasm_sampler_start(struct sasm_sampler *sampler);

/* Stops the thread and frees everything. Accepts NULL. */
void sasm_sampler_close(struct sasm_sampler *sampler);

/* An eventfd, the sampler's own, readable after each pass. */
int sasm_sampler_fd(const struct sasm_sampler *sampler);

/* cgroup_fd: the agent's directory, duplicated. EEXIST: the slot is taken. */
int sasm_sampler_add(struct sasm_sampler *sampler, uint32_t slot, uint32_t agent_id,
		     int cgroup_fd);

/* Measures once more and forgets the agent. ESRCH: the slot is free. */
int sasm_sampler_remove(struct sasm_sampler *sampler, uint32_t slot,
			struct sasm_sample *ret_sample);

/* Those that changed since the last call, at most `capacity`; returns how many. */
int sasm_sampler_changed(struct sasm_sampler *sampler, struct sasm_sample *ret_samples,
			 uint32_t capacity);

/* All agents by slot, at most `capacity`; returns how many. */
int sasm_sampler_rows(struct sasm_sampler *sampler, struct sasm_sample *ret_samples,
		      uint32_t capacity);
int sasm_sampler_row(struct sasm_sampler *sampler, uint32_t slot, struct sasm_sample *ret_sample);

/* The closed windows since the agent was added, oldest first; returns how many. */
int sasm_sampler_windows(struct sasm_sampler *sampler, uint32_t slot,
			 struct sasm_window *ret_windows, uint32_t capacity);

/*
 * Measures now, outside the seconds: totals and gauges, neither windows nor rates. Of all slots,
 * gauges for some 7 ms; those of the rest stay what the last pass found.
 */
int sasm_sampler_now(struct sasm_sampler *sampler, uint32_t slot);

void sasm_sampler_figures(struct sasm_sampler *sampler, struct sasm_sampler_figures *ret_figures);
