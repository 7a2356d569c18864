/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /proc and cgroup.procs tell of an agent: which processes it has, their memory and threads,
 * the bytes that they moved to and from disks, the sockets that they hold. Nothing here knows an
 * agent or a lock; who calls holds the agent's `measuring` (sampler_state.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sampler.h" /* has no guard: nobody else of the sampler includes it */

/* Above this, pages that several processes share are counted once; below, the error is small and
 * smaps_rollup costs more than it tells.
 */
#define PSS_FROM_BYTES (32 << 20)

/* An agent that makes more cgroups than this is counted in part: it must not stall the others. */
#define NESTED_CGROUPS_MAX 1024
#define NESTED_DEPTH_MAX 32

struct process {
	pid_t pid;
	pid_t parent;		/* once the census was taken */
};

struct processes {
	struct process *items;
	size_t count, capacity;
};

/* In bytes. */
struct memory {
	int64_t anonymous, shmem, file;
};

/* Sums over processes, from /proc/PID/status. */
struct census {
	struct memory rss;
	int64_t threads;
};

/* What measuring memory remembers of the last proportional measurement. */
struct pss {
	struct memory shares, rss;	/* both at that time */
	size_t processes;
	int64_t measured_us, cost_us;
};

struct task_blocks {
	pid_t pid, parent;
	int64_t read_bytes, write_bytes;
	int64_t read_rise, write_rise;	/* not yet set against a lost child; of one reading */
};

/* What task I/O accounting said last, by rising pid, and what nobody has any more. */
struct blocks {
	struct task_blocks *tasks;
	size_t count;
	int64_t ended_read_bytes, ended_write_bytes;
};

/* sampler_processes.c: all processes in the cgroup and below. Keeps the list's memory. */
int sasm_sampler_list_processes(int cgroup_fd, int procs_fd, struct processes *processes);

/* sampler_memory.c. The census also notes each process's parent. */
void sasm_sampler_take_census(int proc_fd, struct processes *processes, struct census *ret_census);

/* `rss` with pages that several processes share counted once; kept in mind in `pss`. */
struct memory sasm_sampler_share_memory(int proc_fd, const struct processes *processes,
					const struct memory *rss, struct pss *pss, bool is_due,
					int64_t now_us, enum sasm_memory_source *ret_source);

/* sampler_blocks.c, after a census. Never less than the last time. */
int sasm_sampler_count_blocks(int proc_fd, const struct processes *processes,
			      struct blocks *blocks, int64_t *ret_read_bytes,
			      int64_t *ret_write_bytes);

/* sampler_sockets.c */
int sasm_sampler_count_sockets(int proc_fd, const struct processes *processes, int64_t *ret_count);
