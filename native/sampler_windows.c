/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From measurements to what is shown: totals, one-second windows aligned to whole seconds, rates.
 *
 * An agent that did nothing in a second has no entry for it: reading fills in zeros, so idle
 * agents cost nothing. Invariant: the windows' sums are the totals' differences.
 */
#include <string.h>

#include "internal/sampler_state.h"

static bool differs(const struct sasm_sample *a, const struct sasm_sample *b)
{
	struct sasm_sample same_time = *b;

	same_time.timestamp_us = a->timestamp_us;
	return memcmp(a, &same_time, sizeof(*a)) != 0;
}

/* What was not measured stays what it was. */
static void take(int64_t *figure, int64_t measured)
{
	if (measured != SASM_ABSENT)
		*figure = measured;
}

static void raise_to(int64_t *figure, int64_t measured)
{
	if (*figure < measured)
		*figure = measured;
}

static void publish_gauges(struct sasm_sample *sample, const struct measurement *m)
{
	if (m->has_gauges) {
		sample->memory_bytes = m->memory_bytes;
		sample->memory_source = m->memory_source;
		sample->process_count = m->processes;
		sample->thread_count = m->threads;
		raise_to(&sample->peak_memory_bytes, m->memory_bytes);
		raise_to(&sample->peak_memory_bytes, m->peak_bytes);
	}
	take(&sample->memory_anon_bytes, m->memory.anonymous);
	take(&sample->memory_shmem_bytes, m->memory.shmem);
	take(&sample->memory_file_bytes, m->memory.file);
	take(&sample->socket_count, m->sockets);
}

static void publish_counts(struct sasm_sample *sample, const struct sasm_row *counts)
{
	sample->syscall_count = (int64_t)counts->syscalls;
	sample->io_ops = (int64_t)counts->io_calls;
	sample->fork_count = (int64_t)counts->forks;
	sample->exec_count = (int64_t)counts->execs;
	sample->process_exit_count = (int64_t)counts->exits;
	sample->error_exit_count = (int64_t)counts->exits_error;
	sample->signal_exit_count = (int64_t)counts->exits_signal;
	if (counts->last_exit_ns) {
		sample->last_exit_us = (int64_t)(counts->last_exit_ns / 1000);
		sample->last_exit_pid = counts->last_exit_pid;
		sample->last_exit_status = counts->last_exit_status;
	}
	sample->network_receive_bytes = (int64_t)counts->network_receive_bytes;
	sample->network_transmit_bytes = (int64_t)counts->network_transmit_bytes;
	sample->page_fault_count = (int64_t)counts->page_faults;
	sample->major_fault_count = (int64_t)counts->major_faults;
	sample->context_switch_count = (int64_t)counts->switches;
}

static void publish_totals(struct sasm_sample *sample, const struct measurement *m)
{
	sample->cpu_time_us = m->cpu_time_us;
	publish_gauges(sample, m);
	raise_to(&sample->block_read_bytes, m->block_read_bytes);
	raise_to(&sample->block_write_bytes, m->block_write_bytes);
	raise_to(&sample->cpu_pressure_us, m->pressure_us[PRESSURE_CPU]);
	raise_to(&sample->memory_pressure_us, m->pressure_us[PRESSURE_MEMORY]);
	raise_to(&sample->io_pressure_us, m->pressure_us[PRESSURE_IO]);
	if (m->has_counts)
		publish_counts(sample, &m->counts);
}

/* Received and sent; SASM_ABSENT where it is not counted. */
static int64_t network_bytes(const struct sasm_sample *sample)
{
	if (sample->network_receive_bytes == SASM_ABSENT)
		return SASM_ABSENT;
	return sample->network_receive_bytes + sample->network_transmit_bytes;
}

static int64_t per_second(int64_t amount, int64_t elapsed_us)
{
	return (int64_t)((__int128)amount * 1000000 / elapsed_us);
}

/* The i-th of n nearly equal parts; the parts add up to the amount. */
static int64_t part(int64_t amount, int64_t i, int64_t n)
{
	return amount * (i + 1) / n - amount * i / n;
}

/* Writes the seconds that a pass closes: one, or after a standstill several that share. */
static void close_windows(struct agent *agent, const struct span *span)
{
	struct sasm_sample *sample = &agent->sample;
	int64_t cpu_us = sample->cpu_time_us - agent->closed_cpu_us;
	int64_t syscalls = sample->syscall_count - agent->closed_syscalls;
	int64_t io_ops = sample->io_ops - agent->closed_io;
	int64_t network = network_bytes(sample) - agent->closed_network;
	int64_t since_us = span->now_us - agent->added_us;
	int64_t elapsed_us = span->elapsed_us < since_us ? span->elapsed_us : since_us;
	int64_t count = span->seconds < SASM_WINDOWS ? span->seconds : SASM_WINDOWS;

	if (elapsed_us < 1)
		elapsed_us = 1;
	for (int64_t i = 0; i < count; i++) {
		int64_t second = span->end_second - count + i;

		agent->seconds[second % SASM_WINDOWS] = (struct second){
			.second = second,
			.cpu_time_us = part(cpu_us, i, count),
			.memory_bytes = sample->memory_bytes,
			.syscalls = part(syscalls, i, count),
			.io_ops = part(io_ops, i, count),
			.network_bytes = part(network, i, count),
		};
	}
	sample->cpu_percent_milli = per_second(cpu_us, elapsed_us) / 10;
	if (sample->syscall_count != SASM_ABSENT)
		sample->syscall_rate = per_second(syscalls, elapsed_us);
	agent->is_settling = cpu_us || syscalls;
	if (agent->is_settling)
		sample->last_activity_us = span->now_us;
	agent->closed_cpu_us = sample->cpu_time_us;
	agent->closed_syscalls = sample->syscall_count;
	agent->closed_io = sample->io_ops;
	agent->closed_network = network_bytes(sample);
}

void sasm_sampler_publish(struct agent *agent, const struct measurement *measurement,
			  int64_t now_us, const struct span *span)
{
	struct sasm_sample before = agent->sample;

	publish_totals(&agent->sample, measurement);
	agent->sample.timestamp_us = now_us;
	if (span)
		close_windows(agent, span);
	if (differs(&agent->sample, &before))
		agent->is_changed = true;
}

void sasm_sampler_begin_windows(struct agent *agent, int64_t now_us)
{
	agent->added_us = now_us;
	agent->first_second = now_us / 1000000;
	agent->closed_cpu_us = agent->sample.cpu_time_us;
	agent->closed_syscalls = agent->sample.syscall_count;
	agent->closed_io = agent->sample.io_ops;
	agent->closed_network = network_bytes(&agent->sample);
}

/* An idle agent's memory stays what it was when it last ran. */
static int64_t memory_before(const struct agent *agent, int64_t second)
{
	const struct second *found = NULL;

	for (int i = 0; i < SASM_WINDOWS; i++) {
		const struct second *entry = &agent->seconds[i];

		if (entry->second && entry->second < second &&
		    (!found || entry->second > found->second))
			found = entry;
	}
	return found ? found->memory_bytes : agent->sample.memory_bytes;
}

int sasm_sampler_list_windows(const struct agent *agent, int64_t end_second,
			      struct sasm_window *ret_windows, uint32_t capacity)
{
	bool has_counts = agent->sample.syscall_count != SASM_ABSENT;
	bool has_network = agent->sample.network_receive_bytes != SASM_ABSENT;
	int64_t first = end_second - SASM_WINDOWS;
	int64_t memory_bytes;
	int found = 0;

	if (first < agent->first_second)
		first = agent->first_second;
	if (end_second - first > capacity)
		first = end_second - capacity;
	memory_bytes = memory_before(agent, first);
	for (int64_t second = first; second < end_second; second++) {
		const struct second *entry = &agent->seconds[second % SASM_WINDOWS];
		struct second idle = { .memory_bytes = memory_bytes };

		if (entry->second != second)
			entry = &idle;
		memory_bytes = entry->memory_bytes;
		ret_windows[found++] = (struct sasm_window){
			.timestamp_us = second * 1000000,
			.cpu_time_us = entry->cpu_time_us,
			.memory_bytes = memory_bytes,
			.syscall_count = has_counts ? entry->syscalls : SASM_ABSENT,
			.io_ops = has_counts ? entry->io_ops : SASM_ABSENT,
			.network_bytes = has_network ? entry->network_bytes : SASM_ABSENT,
		};
	}
	return found;
}
