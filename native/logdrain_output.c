/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the draining thread does with one agent's file: open it, append to it.
 *
 * Every file operation of the drain stands in this file, between disk_begin
 * and disk_end: in between, the stand-in may take over the pipes.
 */
#include <sys/timerfd.h>

#include "internal/logdrain_parts.h"

static void disk_begin(struct sasm_logdrain *drain)
{
	struct itimerspec stall = {
		.it_value.tv_sec = SASM_LOGDRAIN_STALL_MS / 1000,
		.it_value.tv_nsec = SASM_LOGDRAIN_STALL_MS % 1000 * 1000000L,
	};

	__atomic_store_n(&drain->disk_since_ns, sasm_logdrain_monotonic_ns(),
			 __ATOMIC_SEQ_CST);
	/* Cannot fail: the fd and the value are ours. */
	(void)timerfd_settime(drain->stall_timer_fd, 0, &stall, NULL);
}

static void disk_end(struct sasm_logdrain *drain)
{
	struct itimerspec off = { 0 };

	__atomic_store_n(&drain->disk_since_ns, 0, __ATOMIC_SEQ_CST);
	(void)timerfd_settime(drain->stall_timer_fd, 0, &off, NULL); /* as above */
	/* The stand-in may be in the middle of a read; it sees the 0 next. */
	pthread_mutex_lock(&drain->takeover);
	pthread_mutex_unlock(&drain->takeover);
}

static void publish_file(struct agent *agent)
{
	agent->counters.rotations = agent->file.rotations;
	agent->counters.file_bytes = agent->file.size_bytes;
	agent->counters.error = agent->file.error;
}

static void open_file(struct sasm_logdrain *drain, struct agent *agent)
{
	int result;

	disk_begin(drain);
	result = sasm_logfile_open(&agent->file);
	disk_end(drain);
	pthread_mutex_lock(&drain->lock);
	agent->file.error = -result;
	agent->is_opened = true;
	publish_file(agent);
	agent->counters.run_offset_bytes = agent->file.size_bytes;
	pthread_cond_broadcast(&drain->progress);
	pthread_mutex_unlock(&drain->lock);
}

void sasm_logdrain_settle(struct sasm_logdrain *drain, struct agent *agent)
{
	struct agent **at = &drain->fresh;

	pthread_mutex_lock(&drain->lock);
	if (agent->is_fresh) {
		while (*at != agent)
			at = &(*at)->fresh_next;
		*at = agent->fresh_next;
		agent->is_fresh = false;
		agent->file.max_bytes = agent->next_max_bytes;
		agent->file.files = agent->next_files;
	}
	pthread_mutex_unlock(&drain->lock);
	if (!agent->is_opened)
		open_file(drain, agent);
}

void sasm_logdrain_write(struct sasm_logdrain *drain, struct agent *agent,
			 size_t bytes)
{
	uint64_t dropped_bytes, dropped_lines;
	size_t kept;

	if (!bytes)
		return;
	sasm_logdrain_settle(drain, agent);
	disk_begin(drain);
	kept = sasm_logfile_append(&agent->file, drain->output, bytes,
				   sasm_logdrain_monotonic_ns());
	disk_end(drain);
	sasm_logline_measure(drain->output + kept, bytes - kept,
			     &dropped_bytes, &dropped_lines);
	pthread_mutex_lock(&drain->lock);
	agent->counters.dropped_bytes += dropped_bytes;
	agent->counters.dropped_lines += dropped_lines;
	publish_file(agent);
	pthread_mutex_unlock(&drain->lock);
}
