/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The draining thread: whose turn it is.
 *
 * Level-triggered epoll puts a pipe that is still readable behind the others,
 * so one read per event is all the fairness that is needed. With nothing
 * readable and nothing pending it sleeps without a timer. Orders of the
 * callers are looked at before every wait, never between two events: they may
 * free what an event points to.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "internal/logdrain_parts.h"

#define NS_PER_MS 1000000ULL

/* Calls visit on every stream; visit ends no run. */
static void for_each_stream(struct sasm_logdrain *drain,
			    void (*visit)(struct sasm_logdrain *drain,
					  struct stream *stream))
{
	struct agent *agent;
	struct run *run;
	int bucket;

	/* Others change the table between two visits, but what they take out
	 * of it is freed by this thread alone and keeps its next pointer.
	 */
	for (bucket = 0; bucket < BUCKETS; bucket++) {
		pthread_mutex_lock(&drain->lock);
		for (agent = drain->buckets[bucket]; agent;
		     agent = agent->next) {
			for (run = agent->runs; run; run = run->next) {
				pthread_mutex_unlock(&drain->lock);
				visit(drain, &run->streams[0]);
				visit(drain, &run->streams[1]);
				pthread_mutex_lock(&drain->lock);
			}
		}
		pthread_mutex_unlock(&drain->lock);
	}
}

static void flush_stream(struct sasm_logdrain *drain, struct stream *stream)
{
	sasm_logdrain_read_all(drain, stream);
	sasm_logdrain_cut_stream(drain, stream, 'P');
}

static void cut_stream(struct sasm_logdrain *drain, struct stream *stream)
{
	sasm_logdrain_cut_stream(drain, stream, 'P');
}

static bool has_order(const struct run *run)
{
	return run->is_finishing || run->streams[0].has_hung_up ||
	       run->streams[1].has_hung_up;
}

/* The next run that somebody finished, or whose end the stand-in saw. */
static struct run *find_ordered_run(struct sasm_logdrain *drain)
{
	struct agent *agent;
	struct run *run = NULL;
	int bucket;

	pthread_mutex_lock(&drain->lock);
	for (bucket = 0; bucket < BUCKETS && !run; bucket++)
		for (agent = drain->buckets[bucket]; agent && !run;
		     agent = agent->next)
			for (run = agent->runs; run && !has_order(run);
			     run = run->next)
				;
	pthread_mutex_unlock(&drain->lock);
	return run;
}

static void carry_out_run_orders(struct sasm_logdrain *drain)
{
	struct run *run;
	int index;

	while ((run = find_ordered_run(drain))) {
		if (run->is_finishing)
			sasm_logdrain_close_run(drain, run);
		for (index = 0; index < 2; index++) {
			if (run->streams[index].has_hung_up)
				sasm_logdrain_close_stream(
					drain, &run->streams[index]);
			run->streams[index].has_hung_up = false;
		}
		sasm_logdrain_end_run(drain, run);
	}
}

static void bury(struct sasm_logdrain *drain, struct agent *agent)
{
	struct run *run;

	sasm_logdrain_settle(drain, agent); /* out of the fresh list as well */
	for (run = agent->runs; run; run = run->next)
		sasm_logdrain_close_run(drain, run);
	sasm_logdrain_free_agent(agent);
}

/* Opens the files of agents that were added, applies changed bounds. */
static void welcome(struct sasm_logdrain *drain)
{
	struct agent *agent;

	do {
		pthread_mutex_lock(&drain->lock);
		agent = drain->fresh;
		pthread_mutex_unlock(&drain->lock);
		if (agent)
			sasm_logdrain_settle(drain, agent);
	} while (agent);
}

/* What the callers want; false: stop. */
static bool carry_out_orders(struct sasm_logdrain *drain)
{
	struct agent *dying, *agent;
	bool stop, has_run_orders;
	uint64_t flush;

	welcome(drain);
	pthread_mutex_lock(&drain->lock);
	stop = drain->stop;
	dying = drain->dying;
	drain->dying = NULL;
	flush = drain->flushes_wanted;
	has_run_orders = drain->has_finishing || drain->has_hung_up;
	drain->has_finishing = drain->has_hung_up = false;
	pthread_mutex_unlock(&drain->lock);

	while ((agent = dying)) {
		dying = agent->dying_next;
		bury(drain, agent);
	}
	if (has_run_orders)
		carry_out_run_orders(drain);
	if (flush != drain->flushes_done) {
		for_each_stream(drain, flush_stream);
		pthread_mutex_lock(&drain->lock);
		drain->flushes_done = flush;
		pthread_cond_broadcast(&drain->progress);
		pthread_mutex_unlock(&drain->lock);
	}
	return !stop;
}

/* Cuts what has been silent long enough; how long until the next, or -1. */
static int cut_silent(struct sasm_logdrain *drain)
{
	uint64_t now_ns = sasm_logdrain_monotonic_ns();
	struct stream *stream;

	while ((stream = drain->pending_first)) {
		uint64_t due_ns = stream->read_ns +
				  SASM_LOGDRAIN_SILENCE_MS * NS_PER_MS;

		if (due_ns > now_ns)
			return (int)((due_ns - now_ns + NS_PER_MS - 1) /
				     NS_PER_MS);
		sasm_logdrain_cut_stream(drain, stream, 'P');
	}
	return -1;
}

void *sasm_logdrain_loop(void *argument)
{
	struct sasm_logdrain *drain = argument;
	struct epoll_event events[EVENTS_PER_TURN];
	int index, count;

	while (carry_out_orders(drain)) {
		count = epoll_wait(drain->epoll_fd, events, EVENTS_PER_TURN,
				   cut_silent(drain));
		for (index = 0; index < count; index++) {
			struct stream *stream = events[index].data.ptr;

			if (!stream) /* woken for an order */
				continue;
			if (sasm_logdrain_read_stream(
				    drain, stream, SASM_LOGDRAIN_READ_BYTES))
				continue;
			sasm_logdrain_close_stream(drain, stream);
			sasm_logdrain_end_run(drain, stream->run);
		}
	}
	for_each_stream(drain, cut_stream);
	return NULL;
}
