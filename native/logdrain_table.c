/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drain's agents: found by id, created, replaced, freed.
 *
 * An agent leaves the table at once and its memory later: the draining
 * thread buries what is on the dying list.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "internal/logdrain_parts.h"

uint64_t sasm_logdrain_monotonic_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t boottime_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_BOOTTIME, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void sasm_logdrain_wake(struct sasm_logdrain *drain)
{
	const uint64_t one = 1;

	/* Fails only when the counter is full, and then it is readable. */
	(void)!write(drain->wake_fd, &one, sizeof(one));
}

struct agent *sasm_logdrain_find(const struct sasm_logdrain *drain,
				 uint32_t agent_id)
{
	struct agent *agent = drain->buckets[agent_id % BUCKETS];

	while (agent && agent->agent_id != agent_id)
		agent = agent->next;
	return agent;
}

void sasm_logdrain_free_run(struct run *run)
{
	int index;

	for (index = 0; index < 2; index++) {
		if (run->streams[index].fd >= 0)
			(void)close(run->streams[index].fd); /* a read end */
		free(run->streams[index].line);
	}
	free(run->ended);
	free(run);
}

void sasm_logdrain_free_agent(struct agent *agent)
{
	struct run *run;

	while ((run = agent->runs)) {
		agent->runs = run->next;
		sasm_logdrain_free_run(run);
	}
	sasm_logfile_close(&agent->file);
	free(agent);
}

void sasm_logdrain_count_input(struct sasm_logdrain *drain, struct agent *agent,
			       const char *input, size_t bytes, bool is_dropped)
{
	const char *at = input, *end = input + bytes;
	uint64_t lines = 0;

	while ((at = memchr(at, '\n', (size_t)(end - at)))) {
		lines++;
		at++;
	}
	pthread_mutex_lock(&drain->lock);
	agent->counters.bytes_in += bytes;
	agent->counters.lines += lines;
	agent->counters.last_output_us = boottime_us();
	if (is_dropped) {
		agent->counters.dropped_bytes += bytes;
		agent->counters.dropped_lines += lines;
	}
	pthread_mutex_unlock(&drain->lock);
}

void sasm_logdrain_unlink_agent(struct sasm_logdrain *drain,
				struct agent *agent)
{
	struct agent **at = &drain->buckets[agent->agent_id % BUCKETS];

	while (*at != agent)
		at = &(*at)->next;
	*at = agent->next;
	agent->dying_next = drain->dying;
	drain->dying = agent;
}

static struct agent *find_name(const struct sasm_logdrain *drain,
			       const char *name)
{
	int bucket;

	for (bucket = 0; bucket < BUCKETS; bucket++) {
		struct agent *agent = drain->buckets[bucket];

		while (agent && strcmp(agent->file.name, name) != 0)
			agent = agent->next;
		if (agent)
			return agent;
	}
	return NULL;
}

static struct agent *new_agent(struct sasm_logdrain *drain, uint32_t agent_id,
			       const char *name)
{
	struct agent *agent = calloc(1, sizeof(*agent));

	if (!agent)
		return NULL;
	agent->agent_id = agent_id;
	agent->file.directory_fd = drain->directory_fd;
	agent->file.group_id = drain->group_id;
	agent->file.fd = -1;
	memcpy(agent->file.name, name, strlen(name) + 1);
	agent->next = drain->buckets[agent_id % BUCKETS];
	drain->buckets[agent_id % BUCKETS] = agent;
	return agent;
}

int sasm_logdrain_find_or_add(struct sasm_logdrain *drain, uint32_t agent_id,
			      const char *name, struct agent **ret_agent)
{
	struct agent *agent = sasm_logdrain_find(drain, agent_id);

	if (agent && strcmp(agent->file.name, name) != 0) {
		if (agent->runs)
			return -EBUSY;
		sasm_logdrain_unlink_agent(drain, agent);
		agent = NULL;
	}
	if (!agent) {
		struct agent *holder = find_name(drain, name);

		if (holder && holder->runs)
			return -EEXIST;
		if (holder)
			sasm_logdrain_unlink_agent(drain, holder);
		agent = new_agent(drain, agent_id, name);
		if (!agent)
			return -ENOMEM;
	}
	*ret_agent = agent;
	return 0;
}

/* A pipe's read end, made ready for the drain. */
static int watch(struct sasm_logdrain *drain, struct stream *stream)
{
	struct epoll_event event = { .events = EPOLLIN,
				     .data.ptr = stream };
	int flags = fcntl(stream->fd, F_GETFL);

	if (flags < 0 || fcntl(stream->fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	if (epoll_ctl(drain->epoll_fd, EPOLL_CTL_ADD, stream->fd, &event))
		return -errno;
	return 0;
}

int sasm_logdrain_watch_run(struct sasm_logdrain *drain, struct run *run)
{
	int index, result;

	for (index = 0; index < 2; index++) {
		if (run->streams[index].fd < 0)
			continue;
		result = watch(drain, &run->streams[index]);
		if (result) {
			while (index-- > 0)
				(void)epoll_ctl(drain->epoll_fd, EPOLL_CTL_DEL,
						run->streams[index].fd,
						NULL); /* being closed */
			return result;
		}
	}
	return 0;
}

struct run *sasm_logdrain_new_run(uint32_t agent_id, uint64_t run_number,
				  int stdout_fd, int stderr_fd)
{
	struct run *run = calloc(1, sizeof(*run));
	struct ended *ended = calloc(1, sizeof(*ended));
	int index;

	if (!run || !ended) {
		free(run);
		free(ended);
		return NULL;
	}
	ended->what.agent_id = agent_id;
	ended->what.run = run_number;
	run->ended = ended;
	run->run = run_number;
	for (index = 0; index < 2; index++) {
		struct stream *stream = &run->streams[index];

		stream->run = run;
		stream->is_stderr = index == 1;
		stream->fd = index ? stderr_fd : stdout_fd;
	}
	return run;
}
