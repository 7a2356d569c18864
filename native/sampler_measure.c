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

/* By /proc, where there is no memory controller. */
static void measure_memory(struct sasm_sampler *sampler, struct agent *agent,
			   const struct census *census, bool is_due, int64_t now_us,
			   struct measurement *m)
{
	m->memory = sasm_sampler_share_memory(sampler->proc_fd, &agent->processes, &census->rss,
					      &agent->pss, is_due, now_us, &m->memory_source);
	m->memory_bytes = m->memory.anonymous + m->memory.shmem;
}

static void measure_blocks(struct sasm_sampler *sampler, struct agent *agent,
			   struct measurement *m)
{
	int code = 0;

	if (agent->io_fd >= 0)
		code = sasm_cgroup_read_blocks(agent->io_fd, &m->block_read_bytes,
					       &m->block_write_bytes);
	else if (sampler->has_task_io)
		code = sasm_sampler_count_blocks(sampler->proc_fd, &agent->processes,
						 &agent->blocks, &m->block_read_bytes,
						 &m->block_write_bytes);
	count_failure(sampler, code);
}

/* An agent that has not run since they were counted has the same ones. */
static void measure_sockets(struct sasm_sampler *sampler, struct agent *agent, enum depth depth,
			    struct measurement *m)
{
	if (agent->processes.count == 0)
		m->sockets = 0;
	else if (depth == MEASURE_ALL ||
		 (depth == MEASURE_TURN && agent->sockets_cpu_us != agent->cpu_time_us))
		count_failure(sampler,
			      sasm_sampler_count_sockets(sampler->proc_fd, &agent->processes,
							 &m->sockets));
	else
		return;
	agent->sockets_cpu_us = agent->cpu_time_us;
}

static void measure_gauges(struct sasm_sampler *sampler, struct agent *agent, enum depth depth,
			   int64_t now_us, struct measurement *m)
{
	struct census census = { 0 };
	int code = sasm_sampler_list_processes(agent->cgroup_fd, agent->procs_fd,
					       &agent->processes);

	count_failure(sampler, code);
	if (code < 0)
		agent->processes.count = 0; /* a cgroup that is gone holds nothing */
	sasm_sampler_take_census(sampler->proc_fd, &agent->processes, &census);
	m->processes = (int64_t)agent->processes.count;
	m->threads = census.threads;
	m->memory_bytes = 0;
	if (agent->memory_fd >= 0) {
		m->memory_source = SASM_MEMORY_CGROUP;
		count_failure(sampler, sasm_cgroup_read_number(agent->memory_fd, &m->memory_bytes));
		if (agent->peak_fd >= 0)
			count_failure(sampler,
				      sasm_cgroup_read_number(agent->peak_fd, &m->peak_bytes));
	} else {
		measure_memory(sampler, agent, &census, depth >= MEASURE_TURN, now_us, m);
	}
	measure_blocks(sampler, agent, m);
	measure_sockets(sampler, agent, depth, m);
	m->has_gauges = true;
}

static bool is_rare_due(const struct agent *agent, enum depth depth, int64_t now_us)
{
	if (depth == MEASURE_COUNTERS)
		return false;
	if (depth == MEASURE_ALL)
		return true;
	if (agent->rare_cpu_us == agent->cpu_time_us)
		return false;
	return depth != MEASURE_ACTIVE || now_us - agent->rare_us >= RARE_INTERVAL_US;
}

static void measure_rare(struct sasm_sampler *sampler, struct agent *agent, int64_t now_us,
			 struct measurement *m)
{
	static const char *const files[PRESSURES] = { "cpu.pressure", "memory.pressure",
						      "io.pressure" };
	struct sasm_cgroup_memory memory;
	int code;

	agent->rare_us = now_us;
	agent->rare_cpu_us = agent->cpu_time_us;
	for (int i = 0; i < PRESSURES; i++) {
		code = sasm_cgroup_read_pressure(agent->cgroup_fd, files[i], &m->pressure_us[i]);
		if (code != -ENOENT && code != -EOPNOTSUPP) /* then there is no such figure */
			count_failure(sampler, code);
	}
	if (agent->memory_fd < 0)
		return;
	code = sasm_cgroup_read_memory(agent->cgroup_fd, &memory);
	if (code == 0)
		m->memory = (struct memory){ memory.anonymous_bytes, memory.shmem_bytes,
					     memory.file_bytes };
	else if (code != -ENOENT)
		count_failure(sampler, code);
}

void sasm_sampler_measure(struct sasm_sampler *sampler, struct agent *agent, enum depth depth,
			  int64_t now_us, struct measurement *ret_measurement)
{
	struct measurement m = {
		.has_counts = sampler->probes != NULL,
		.peak_bytes = SASM_ABSENT,
		.memory = { SASM_ABSENT, SASM_ABSENT, SASM_ABSENT },
		.block_read_bytes = SASM_ABSENT,
		.block_write_bytes = SASM_ABSENT,
		.sockets = SASM_ABSENT,
		.pressure_us = { SASM_ABSENT, SASM_ABSENT, SASM_ABSENT },
	};

	if (m.has_counts)
		sasm_probes_read(sampler->probes, agent->slot, &m.counts);
	measure_cpu_time(sampler, agent);
	m.cpu_time_us = agent->cpu_time_us;
	if (depth >= MEASURE_ACTIVE)
		measure_gauges(sampler, agent, depth, now_us, &m);
	if (is_rare_due(agent, depth, now_us))
		measure_rare(sampler, agent, now_us, &m);
	*ret_measurement = m;
}
