/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log drain's calls that ask: what has ended, how much was read, is all
 * of it written. See logdrain.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "internal/logdrain_parts.h"

int sasm_logdrain_finished_fd(const struct sasm_logdrain *drain)
{
	return drain->finished_fd;
}

int sasm_logdrain_take_finished(struct sasm_logdrain *drain,
				struct sasm_logdrain_ended *ret_ended,
				int capacity)
{
	const uint64_t one = 1;
	struct ended *ended;
	uint64_t signalled;
	int count = 0;

	/* Before the list: an end that comes between the two signals anew.
	 * Nothing to read is fine.
	 */
	(void)!read(drain->finished_fd, &signalled, sizeof(signalled));
	pthread_mutex_lock(&drain->lock);
	while (count < capacity && (ended = drain->ended_first)) {
		drain->ended_first = ended->next;
		if (!drain->ended_first)
			drain->ended_last = NULL;
		ret_ended[count++] = ended->what;
		free(ended);
	}
	if (drain->ended_first) /* full is readable as well */
		(void)!write(drain->finished_fd, &one, sizeof(one));
	pthread_mutex_unlock(&drain->lock);
	return count;
}

int sasm_logdrain_offset(struct sasm_logdrain *drain, uint32_t agent_id,
			 uint64_t *ret_offset, uint64_t *ret_run_offset)
{
	struct timespec until = sasm_logdrain_after_ms(
		CLOCK_MONOTONIC, SASM_LOGDRAIN_OFFSET_MS);
	struct agent *agent;
	int result = 0;

	pthread_mutex_lock(&drain->lock);
	/* Looked up anew each time: it may be removed while we wait. */
	while ((agent = sasm_logdrain_find(drain, agent_id)) &&
	       !agent->is_opened && !result)
		result = -pthread_cond_timedwait(&drain->progress,
						 &drain->lock, &until);
	if (!agent)
		result = -ESRCH;
	else if (agent->is_opened)
		result = 0;
	if (!result) {
		*ret_offset = agent->counters.file_bytes;
		*ret_run_offset = agent->counters.run_offset_bytes;
	}
	pthread_mutex_unlock(&drain->lock);
	return result;
}

int sasm_logdrain_read_counters(struct sasm_logdrain *drain, uint32_t agent_id,
				struct sasm_logdrain_counters *ret_counters)
{
	struct agent *agent;

	pthread_mutex_lock(&drain->lock);
	agent = sasm_logdrain_find(drain, agent_id);
	if (agent)
		*ret_counters = agent->counters;
	pthread_mutex_unlock(&drain->lock);
	return agent ? 0 : -ESRCH;
}

int sasm_logdrain_flush(struct sasm_logdrain *drain, uint32_t timeout_ms)
{
	struct timespec until =
		sasm_logdrain_after_ms(CLOCK_MONOTONIC, timeout_ms);
	uint64_t wanted;
	int result = 0;

	pthread_mutex_lock(&drain->lock);
	wanted = ++drain->flushes_wanted;
	sasm_logdrain_wake(drain);
	while (drain->flushes_done < wanted && !result)
		result = -pthread_cond_timedwait(&drain->progress,
						 &drain->lock, &until);
	if (drain->flushes_done >= wanted)
		result = 0;
	pthread_mutex_unlock(&drain->lock);
	return result;
}
