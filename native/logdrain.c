/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log drain's calls that change something: see logdrain.h for what each
 * promises. They change the table, leave an order and wake the draining
 * thread; none reads a pipe or touches a file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal/logdrain_parts.h"

static int check_add(const char *name, uint64_t max_bytes, uint32_t files)
{
	size_t length = strnlen(name, SASM_LOGFILE_NAME_BYTES);

	if (!length || length == SASM_LOGFILE_NAME_BYTES || name[0] == '.' ||
	    strchr(name, '/'))
		return -EINVAL;
	if (max_bytes < SASM_LOGDRAIN_FILE_BYTES_MIN || files < 1 ||
	    files > SASM_LOGFILE_FILES_MAX)
		return -EINVAL;
	return 0;
}

/* Puts the run last, orders the oldest cut if there are too many. */
static int append_run(struct sasm_logdrain *drain, struct agent *agent,
		      struct run *run)
{
	struct run **at = &agent->runs;

	for (; *at; at = &(*at)->next)
		if ((*at)->run == run->run)
			return -EEXIST;
	run->agent = agent;
	*at = run;
	agent->counters.open_runs++;
	agent->counters.run_offset_bytes = agent->counters.file_bytes;
	for (run = agent->runs; run && agent->counters.open_runs >
					       SASM_LOGDRAIN_RUNS_MAX;
	     run = run->next)
		if (!run->is_finishing) {
			run->is_finishing = drain->has_finishing = true;
			break;
		}
	return 0;
}

int sasm_logdrain_add(struct sasm_logdrain *drain, uint32_t agent_id,
		      uint64_t run_number, const char *name, int stdout_fd,
		      int stderr_fd, uint64_t max_bytes, uint32_t files)
{
	struct run *run = sasm_logdrain_new_run(agent_id, run_number,
						stdout_fd, stderr_fd);
	struct agent *agent;
	int result = check_add(name, max_bytes, files);

	if (!run) {
		sasm_logdrain_close_fd(stdout_fd);
		sasm_logdrain_close_fd(stderr_fd);
		return -ENOMEM;
	}
	pthread_mutex_lock(&drain->lock);
	if (!result)
		result = sasm_logdrain_find_or_add(drain, agent_id, name,
						   &agent);
	if (!result)
		result = append_run(drain, agent, run);
	if (!result) {
		agent->next_max_bytes = max_bytes;
		agent->next_files = files;
		if (!agent->is_fresh) {
			agent->is_fresh = true;
			agent->fresh_next = drain->fresh;
			drain->fresh = agent;
		}
		/* With nothing to wait for it ends by this order. */
		if (stdout_fd < 0 && stderr_fd < 0)
			run->is_finishing = drain->has_finishing = true;
		result = sasm_logdrain_watch_run(drain, run);
		if (result) {
			/* The draining thread may hold it already: it frees
			 * it, and with no ended record reports nothing.
			 */
			free(run->ended);
			run->ended = NULL;
			run->is_finishing = drain->has_finishing = true;
		}
		run = NULL; /* the table's */
	}
	pthread_mutex_unlock(&drain->lock);
	if (run)
		sasm_logdrain_free_run(run);
	else
		sasm_logdrain_wake(drain);
	return result;
}

int sasm_logdrain_finish(struct sasm_logdrain *drain, uint32_t agent_id,
			 uint64_t run_number)
{
	struct agent *agent;
	struct run *run = NULL;

	pthread_mutex_lock(&drain->lock);
	agent = sasm_logdrain_find(drain, agent_id);
	if (agent)
		for (run = agent->runs; run && run->run != run_number;
		     run = run->next)
			;
	if (run)
		run->is_finishing = drain->has_finishing = true;
	pthread_mutex_unlock(&drain->lock);
	if (!run)
		return -ESRCH;
	sasm_logdrain_wake(drain);
	return 0;
}

int sasm_logdrain_remove(struct sasm_logdrain *drain, uint32_t agent_id)
{
	struct agent *agent;

	pthread_mutex_lock(&drain->lock);
	agent = sasm_logdrain_find(drain, agent_id);
	if (agent)
		sasm_logdrain_unlink_agent(drain, agent);
	pthread_mutex_unlock(&drain->lock);
	if (!agent)
		return -ESRCH;
	sasm_logdrain_wake(drain);
	return 0;
}
