/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log drain's records; the functions on them are in logdrain_parts.h.
 *
 * Who may touch what:
 * - `lock` guards the table, the lists, the counters and the orders. It is
 *   never held across a read, a write or any other file operation.
 * - a stream's splitter, the common one, an agent's file and the pending list belong to the
 *   draining thread. Only that thread frees streams and agents.
 * - `takeover` is held by the stand-in while it reads, and passed through by
 *   the draining thread after each file operation. Lock order: takeover, lock.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "internal/logfile.h"
#include "logdrain.h"
#include "logline.h"

/* A power of two near the number of agents that one host is built for. */
#define BUCKETS 1024

#define EVENTS_PER_TURN 64

/* Room for what one read expands to when its lines are of usual length;
 * shorter lines are written in more than one go.
 */
#define OUTPUT_BYTES (2 * SASM_LOGDRAIN_READ_BYTES)

struct ended {
	struct ended *next;
	struct sasm_logdrain_ended what;
};

struct stream {
	struct run *run;
	int fd; /* -1: at its end */
	bool has_hole;		/* the stand-in dropped bytes since the last read */
	bool has_hung_up;	/* the stand-in saw the end */
	uint64_t read_ns;	/* last read, CLOCK_MONOTONIC */
	uint64_t pending_ns;	/* first byte of what is pending */
	struct stream *pending_previous;
	struct stream *pending_next;
	bool is_pending;
	bool is_stderr;
	struct sasm_logline *line; /* NULL while nothing is pending: 16 KiB that few need */
};

struct run {
	struct agent *agent;
	struct run *next; /* younger */
	struct ended *ended; /* made at add, so that an end needs no memory */
	uint64_t run;
	bool is_finishing;
	struct stream streams[2];
};

struct agent {
	struct agent *next; /* in its bucket; kept when it leaves the bucket, so
			     * that a walk which stands here goes on */
	struct agent *fresh_next, *dying_next;
	struct run *runs; /* oldest first */
	uint32_t agent_id;
	bool is_fresh;	/* on the fresh list */
	bool is_opened; /* the first open was tried */
	uint32_t next_files;
	uint64_t next_max_bytes;
	struct sasm_logfile file;
	struct sasm_logdrain_counters counters;
};

struct sasm_logdrain {
	pthread_mutex_t lock;
	pthread_cond_t progress; /* a file was opened, a flush is done */
	pthread_mutex_t takeover;
	pthread_t thread, spill_thread;
	bool is_started;
	int directory_fd, epoll_fd, wake_fd, finished_fd;
	int stall_timer_fd;
	uint32_t group_id;

	struct agent *buckets[BUCKETS];
	struct agent *fresh, *dying;
	struct ended *ended_first, *ended_last;
	uint64_t flushes_wanted, flushes_done;
	bool stop, has_finishing, has_hung_up;

	uint64_t disk_since_ns; /* atomic; 0: not in a file operation */
	struct stream *pending_first, *pending_last; /* by last read */
	struct sasm_logline line; /* splits for the streams that have nothing pending */
	char input[SASM_LOGDRAIN_READ_BYTES];
	char output[OUTPUT_BYTES];
	char spill_input[SASM_LOGDRAIN_READ_BYTES];
};
