/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A week of an agent's windows, second by second, without waiting for one.
 *
 * What the sampling thread does is done here with a clock of our own: some seconds the agent works,
 * some it sleeps and is not even looked at, now and then the host stands still for some time and a
 * pass closes several seconds at once. After every pass the windows must be whole seconds without
 * a gap, and add up to what the totals rose by.
 *
 * Usage: windows_week SEED. Prints what was done, or what is wrong and ends with 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sampler_windows.c"

#define WEEK_SECONDS (7 * 24 * 3600)
/* Ten years after boot, so that nothing is small. */
#define BEGIN_SECOND 315360000LL

struct totals {
	int64_t cpu_time_us, syscalls, io_ops, network_bytes;
};

static uint64_t state;
static struct totals totals, at_close[WEEK_SECONDS + 1]; /* by second since the beginning */
static bool is_close[WEEK_SECONDS + 1];
static int64_t memory_bytes;
static long passes, looked_at, standstills, compared;

static uint64_t roll(uint64_t sides)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % sides;
}

static void fail(int64_t second, const char *what)
{
	printf("second %lld: %s\n", (long long)(second - BEGIN_SECOND), what);
	exit(1);
}

static struct measurement measure(void)
{
	return (struct measurement){
		.has_counts = true,
		.has_gauges = true,
		.cpu_time_us = totals.cpu_time_us,
		.memory_bytes = memory_bytes,
		.peak_bytes = SASM_ABSENT,
		.memory = { SASM_ABSENT, SASM_ABSENT, SASM_ABSENT },
		.block_read_bytes = SASM_ABSENT,
		.block_write_bytes = SASM_ABSENT,
		.sockets = SASM_ABSENT,
		.pressure_us = { SASM_ABSENT, SASM_ABSENT, SASM_ABSENT },
		.counts = { .syscalls = (uint64_t)totals.syscalls,
			    .io_calls = (uint64_t)totals.io_ops,
			    .network_receive_bytes = (uint64_t)totals.network_bytes / 2,
			    .network_transmit_bytes =
				    (uint64_t)totals.network_bytes -
				    (uint64_t)totals.network_bytes / 2 },
	};
}

static void work(void)
{
	totals.cpu_time_us += (int64_t)roll(8000000);
	totals.syscalls += (int64_t)roll(3000000);
	totals.io_ops += (int64_t)roll(1000000);
	totals.network_bytes += (int64_t)roll(10000000000);
	memory_bytes = (int64_t)roll(1LL << 40);
}

static void compare(const struct agent *agent, int64_t end_second)
{
	struct sasm_window windows[SASM_WINDOWS];
	int count = sasm_sampler_list_windows(agent, end_second, windows, SASM_WINDOWS);
	int64_t age = end_second - BEGIN_SECOND;
	int64_t first = end_second - count;
	struct totals sum = { 0 };

	if (count != (age < SASM_WINDOWS ? age : SASM_WINDOWS))
		fail(end_second, "not as many windows as seconds");
	for (int i = 0; i < count; i++) {
		if (windows[i].timestamp_us != (first + i) * 1000000)
			fail(end_second, "a window is not at its second");
		if (windows[i].cpu_time_us < 0 || windows[i].syscall_count < 0)
			fail(end_second, "a window goes back");
		sum.cpu_time_us += windows[i].cpu_time_us;
		sum.syscalls += windows[i].syscall_count;
		sum.io_ops += windows[i].io_ops;
		sum.network_bytes += windows[i].network_bytes;
	}
	if (count && windows[count - 1].memory_bytes != agent->sample.memory_bytes)
		fail(end_second, "the last window has another memory");
	if (!is_close[first - BEGIN_SECOND])
		return; /* it begins within a standstill, which was shared out */
	const struct totals *before = &at_close[first - BEGIN_SECOND];
	const struct totals *now = &at_close[end_second - BEGIN_SECOND];
	if (sum.cpu_time_us != now->cpu_time_us - before->cpu_time_us ||
	    sum.syscalls != now->syscalls - before->syscalls ||
	    sum.io_ops != now->io_ops - before->io_ops ||
	    sum.network_bytes != now->network_bytes - before->network_bytes)
		fail(end_second, "the windows do not add up");
	compared++;
}

static void pass(struct agent *agent, struct span *span, bool has_run)
{
	struct measurement m = measure();
	bool was_settling = agent->is_settling;

	passes++;
	if (has_run || was_settling) {
		looked_at++;
		sasm_sampler_publish(agent, &m, span->now_us, span);
		if (!has_run && (agent->sample.cpu_percent_milli || agent->sample.syscall_rate))
			fail(span->end_second, "it sleeps and has a rate");
	}
	at_close[span->end_second - BEGIN_SECOND] = totals;
	is_close[span->end_second - BEGIN_SECOND] = true;
	compare(agent, span->end_second);
}

int main(int argc, char **argv)
{
	static struct agent agent;
	struct measurement begun;
	int64_t second = BEGIN_SECOND, last_us = BEGIN_SECOND * 1000000;
	bool is_busy = false;

	if (argc != 2)
		return 2;
	state = strtoull(argv[1], NULL, 10) * 2654435761u + 1;
	totals.cpu_time_us = 1LL << 50;
	totals.syscalls = totals.io_ops = totals.network_bytes = 1LL << 55;
	for (size_t i = 0; i < sizeof(agent.sample) / sizeof(int64_t); i++)
		((int64_t *)&agent.sample)[i] = SASM_ABSENT;
	begun = measure();
	sasm_sampler_publish(&agent, &begun, last_us, NULL);
	sasm_sampler_begin_windows(&agent, last_us);
	at_close[0] = totals;
	is_close[0] = true;
	while (second < BEGIN_SECOND + WEEK_SECONDS) {
		int64_t seconds = roll(500) ? 1 : 1 + (int64_t)roll(200);
		struct span span;

		if (second + seconds > BEGIN_SECOND + WEEK_SECONDS)
			seconds = BEGIN_SECOND + WEEK_SECONDS - second;
		standstills += seconds > 1;
		second += seconds;
		if (roll(30) == 0)
			is_busy = !is_busy;
		if (is_busy)
			work();
		span.now_us = second * 1000000 + (int64_t)roll(50000); /* woken a little late */
		span.elapsed_us = span.now_us - last_us;
		span.end_second = second;
		span.seconds = seconds;
		last_us = span.now_us;
		pass(&agent, &span, is_busy);
	}
	printf("%ld passes, %ld looked at, %ld standstills, %ld compared\n", passes, looked_at,
	       standstills, compared);
	return 0;
}
