/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over the last windows, for those who show rates of many agents every second. */
#include <errno.h>

#include "internal/sampler_state.h"
#include "sampler_spans.h"

static void add(int64_t *sum, int64_t amount)
{
	/* A source that is off is off in every window. */
	*sum = amount == SASM_ABSENT ? SASM_ABSENT : *sum + amount;
}

static void sum_windows(const struct sasm_window *windows, int count, int64_t seconds,
			struct sasm_span *ret_span)
{
	struct sasm_span span = {};

	for (int i = seconds < count ? count - (int)seconds : 0; i < count; i++) {
		add(&span.cpu_time_us, windows[i].cpu_time_us);
		add(&span.syscall_count, windows[i].syscall_count);
		add(&span.io_ops, windows[i].io_ops);
		add(&span.network_bytes, windows[i].network_bytes);
		span.windows++;
	}
	*ret_span = span;
}

int sasm_sampler_spans(struct sasm_sampler *sampler, const uint32_t *slots, uint32_t slot_count,
		       const uint32_t *seconds, uint32_t length_count,
		       struct sasm_span *ret_spans)
{
	struct sasm_window windows[SASM_WINDOWS];

	for (uint32_t i = 0; i < slot_count; i++) {
		int count = sasm_sampler_windows(sampler, slots[i], windows, SASM_WINDOWS);

		if (count == -ESRCH)
			count = 0;
		if (count < 0)
			return count;
		for (uint32_t j = 0; j < length_count; j++)
			sum_windows(windows, count, seconds[j], ret_spans++);
	}
	return 0;
}
