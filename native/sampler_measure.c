/* SPDX-License-Identifier: Apache-2.0 */
/* One agent's figures, read from the rows and from its cgroup's files. */
#include <errno.h>

#include "internal/cgroup_file.h"
#include "internal/sampler_state.h"

static void count_failure(struct sasm_sampler *sampler, int code)
{
	/* ENODEV: the cgroup was removed; what was read before stays. */
	if (code < 0 && code != -ENODEV)
		__atomic_add_fetch(&sampler->figures.failures, 1, __ATOMIC_RELAXED);
}

/*
 * CPU time is the kernel's own sum over the cgroup and all below, dead processes included, up to
 * the last tick of a running slice. Adding up slices at sched_switch gives the same to the
 * nanosecond, but misses those whose switch the host hides from tracing.
 */
static void measure_cpu_time(struct sasm_sampler *sampler, struct agent *agent)
{
	int64_t usage_us;
	int code = sasm_cgroup_read_usage(agent->stat_fd, &usage_us);

	count_failure(sampler, code);
	if (code == 0 && agent->cpu_time_us < usage_us)
		agent->cpu_time_us = usage_us;
}

static void measure_gauges(struct sasm_sampler *sampler, struct agent *agent, bool is_due,
			   int64_t now_us, struct measurement *m)
{
	int code = sasm_sampler_list_processes(agent->cgroup_fd, agent->procs_fd, &agent->pids);

	count_failure(sampler, code);
	m->processes = code < 0 ? 0 : (int64_t)agent->pids.count;
	m->memory_bytes = 0; /* a cgroup that is gone holds nothing */
	m->peak_bytes = SASM_ABSENT;
	if (agent->memory_fd >= 0) {
		m->memory_source = SASM_MEMORY_CGROUP;
		count_failure(sampler, sasm_cgroup_read_number(agent->memory_fd, &m->memory_bytes));
		if (agent->peak_fd >= 0)
			count_failure(sampler,
				      sasm_cgroup_read_number(agent->peak_fd, &m->peak_bytes));
	} else if (code == 0) {
		m->memory_bytes = sasm_sampler_measure_memory(sampler->proc_fd, &agent->pids,
							      &agent->pss, is_due, now_us,
							      &m->memory_source);
	} else {
		m->memory_source = SASM_MEMORY_RSS;
	}
	m->has_gauges = true;
}

void sasm_sampler_measure(struct sasm_sampler *sampler, struct agent *agent, enum depth depth,
			  int64_t now_us, struct measurement *ret_measurement)
{
	struct measurement m = { .has_counts = sampler->probes != NULL };

	if (m.has_counts)
		sasm_probes_read(sampler->probes, agent->slot, &m.counts);
	measure_cpu_time(sampler, agent);
	m.cpu_time_us = agent->cpu_time_us;
	if (depth != MEASURE_COUNTERS)
		measure_gauges(sampler, agent, depth == MEASURE_ALL, now_us, &m);
	*ret_measurement = m;
}
