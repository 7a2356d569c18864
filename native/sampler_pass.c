/* SPDX-License-Identifier: Apache-2.0 */
/* The sampling thread: who ran, measure them, close their windows, wake the reader. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "internal/cgroup_file.h"
#include "internal/sampler_state.h"

static int64_t clock_us(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000LL + time.tv_nsec / 1000;
}

int64_t sasm_sampler_clock_us(void)
{
	return clock_us(CLOCK_BOOTTIME);
}

/* Marks the slots that have a thread on a CPU right now; it may make no call for long. */
static void find_running(struct sasm_sampler *sampler)
{
	const struct sasm_probes *probes = sampler->probes;

	memset(sampler->is_running, 0, sampler->slots_max * sizeof(*sampler->is_running));
	for (uint32_t cpu = 0; cpu < probes->layout.cpus; cpu++) {
		uint64_t tag = __atomic_load_n(&probes->cpus[cpu].tag, __ATOMIC_RELAXED);

		if (tag && (uint32_t)tag < sampler->slots_max)
			sampler->is_running[(uint32_t)tag] = true;
	}
}

bool sasm_sampler_has_run(const struct sasm_sampler *sampler, const struct agent *agent,
			  uint64_t *ret_syscalls, uint64_t *ret_switches)
{
	const struct sasm_probes *probes = sampler->probes;
	uint64_t syscalls = 0, switches = 0;
	bool has_run;

	for (uint32_t cpu = 0; cpu < probes->layout.cpus; cpu++) {
		const struct sasm_row *row = sasm_probes_row(probes, agent->slot, cpu);

		syscalls += __atomic_load_n(&row->syscalls, __ATOMIC_RELAXED);
		switches += __atomic_load_n(&row->switches, __ATOMIC_RELAXED);
	}
	has_run = syscalls != agent->scanned_syscalls || switches != agent->scanned_switches;
	*ret_syscalls = syscalls;
	*ret_switches = switches;
	return has_run;
}

/* Is it this agent's turn although it is idle? The turns go round once in ROUND_PASSES. */
static bool is_its_turn(const struct sasm_sampler *sampler, uint32_t slot)
{
	return slot % ROUND_PASSES == sampler->round_slot;
}

/* How much of the agent is to be measured; false: nothing, for it is idle as before. */
static bool choose_depth(const struct sasm_sampler *sampler, struct agent *agent,
			 enum depth *ret_depth)
{
	bool has_run = false;

	if (sampler->probes)
		has_run = sasm_sampler_has_run(sampler, agent, &agent->scanned_syscalls,
					       &agent->scanned_switches) ||
			  sampler->is_running[agent->slot];
	if (agent->is_new)
		*ret_depth = MEASURE_ALL;
	else if (is_its_turn(sampler, agent->slot))
		*ret_depth = MEASURE_TURN;
	else if (has_run || agent->is_waiting)
		*ret_depth = MEASURE_ACTIVE;
	else
		*ret_depth = MEASURE_COUNTERS;
	/* Without probes its CPU time has to be read to see whether it ran. */
	return *ret_depth != MEASURE_COUNTERS || agent->is_settling || !sampler->probes;
}

/* Lists whom to measure, and takes a reference to each. */
static uint32_t list_work(struct sasm_sampler *sampler)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < sampler->slots_used; i++) {
		uint32_t slot = (sampler->first_slot + i) % sampler->slots_used;
		struct agent *agent = sampler->agents[slot];

		if (!agent || !choose_depth(sampler, agent, &sampler->depths[count]))
			continue;
		agent->is_new = false;
		agent->references++;
		sampler->work[count++] = agent;
	}
	sampler->round_slot = (sampler->round_slot + 1) % ROUND_PASSES;
	return count;
}

/* Measures what is to be shown now, and returns whether gauges have to wait for the next pass. */
static bool measure_within(struct sasm_sampler *sampler, struct agent *agent, enum depth depth,
			   bool has_time, int64_t now_us, struct measurement *ret_measurement)
{
	if (depth >= MEASURE_ACTIVE && has_time) {
		sasm_sampler_measure(sampler, agent, depth, now_us, ret_measurement);
		return false;
	}
	sasm_sampler_measure(sampler, agent, MEASURE_COUNTERS, now_us, ret_measurement);
	if (depth >= MEASURE_ACTIVE || ret_measurement->cpu_time_us > agent->closed_cpu_us) {
		if (has_time)
			sasm_sampler_measure(sampler, agent, MEASURE_ACTIVE, now_us,
					     ret_measurement);
		return !has_time;
	}
	if (agent->rare_cpu_us != agent->cpu_time_us)
		sasm_sampler_measure(sampler, agent, MEASURE_SETTLED, now_us, ret_measurement);
	return false;
}

/* Returns whether its gauges have to wait. */
static bool measure_one(struct sasm_sampler *sampler, struct agent *agent, enum depth depth,
			bool has_time, const struct span *span)
{
	struct measurement measurement;
	bool is_waiting;

	pthread_mutex_lock(&agent->measuring);
	is_waiting = measure_within(sampler, agent, depth, has_time, span->now_us, &measurement);
	pthread_mutex_unlock(&agent->measuring);

	pthread_mutex_lock(&sampler->lock);
	agent->is_waiting = is_waiting;
	sasm_sampler_publish(agent, &measurement, span->now_us, span);
	sasm_sampler_drop(agent);
	pthread_mutex_unlock(&sampler->lock);
	return is_waiting;
}

/* Measures the listed agents; returns how many have to wait for the next pass. */
static uint32_t measure_listed(struct sasm_sampler *sampler, uint32_t count,
			       const struct span *span)
{
	int64_t begun_us = clock_us(CLOCK_THREAD_CPUTIME_ID);
	uint32_t waiting = 0;

	if (count >= FLUSH_FROM_AGENTS)
		sasm_cgroup_flush_siblings(sampler->work[0]->cgroup_fd);
	for (uint32_t i = 0; i < count; i++) {
		int64_t used_us = clock_us(CLOCK_THREAD_CPUTIME_ID) - begun_us;
		int64_t rest_us = (int64_t)(count - i) * COUNTERS_COST_US;
		uint32_t slot = sampler->work[i]->slot;
		/* What was never measured has no figures at all: that goes first, once. */
		bool has_time = used_us < GAUGES_BUDGET_MIN_US ||
				used_us < PASS_BUDGET_US - rest_us ||
				sampler->depths[i] == MEASURE_ALL;

		if (!measure_one(sampler, sampler->work[i], sampler->depths[i], has_time, span))
			continue;
		if (waiting++ == 0)
			sampler->first_slot = slot;
	}
	return waiting;
}

static void pass(struct sasm_sampler *sampler)
{
	struct sasm_sampler_figures *figures = &sampler->figures;
	struct span span = { .now_us = sasm_sampler_clock_us() };
	uint32_t count, waiting;
	int64_t took_us;

	span.elapsed_us = span.now_us - sampler->last_pass_us;
	span.end_second = span.now_us / 1000000;
	span.seconds = span.end_second - sampler->last_end_second;
	if (span.seconds <= 0)
		return; /* woken before its time */

	if (sampler->probes)
		find_running(sampler);
	pthread_mutex_lock(&sampler->lock);
	count = list_work(sampler);
	pthread_mutex_unlock(&sampler->lock);
	waiting = measure_listed(sampler, count, &span);

	took_us = sasm_sampler_clock_us() - span.now_us;
	pthread_mutex_lock(&sampler->lock);
	sampler->last_pass_us = span.now_us;
	sampler->last_end_second = span.end_second;
	figures->passes++;
	figures->last_pass_us = took_us;
	if (figures->longest_pass_us < took_us)
		figures->longest_pass_us = took_us;
	figures->measured = count;
	figures->waiting = waiting;
	figures->late_seconds += span.seconds - 1;
	figures->thread_cpu_us = clock_us(CLOCK_THREAD_CPUTIME_ID);
	pthread_mutex_unlock(&sampler->lock);
	eventfd_write(sampler->pass_fd, 1);
}

void *sasm_sampler_loop(void *context)
{
	struct sasm_sampler *sampler = context;
	struct pollfd wait[2] = {
		{ .fd = sampler->timer_fd, .events = POLLIN },
		{ .fd = sampler->stop_fd, .events = POLLIN },
	};
	uint64_t expirations;

	for (;;) {
		if (poll(wait, 2, -1) < 0 && errno != EINTR)
			return NULL; /* only a bug in the arguments leads here */
		if (wait[1].revents)
			return NULL;
		if (read(sampler->timer_fd, &expirations, sizeof(expirations)) > 0)
			pass(sampler);
	}
}
