/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums over the sampler's windows, for rates of many agents at once. Thread-safe as sampler.h says.
 *
 * Declarations only: this file is included and given to cffi's cdef.
 */

/* Sums over the last windows that exist; a sum without a source is SASM_ABSENT. */
struct sasm_span {
	int64_t windows;
	int64_t cpu_time_us;
	int64_t syscall_count;
	int64_t io_ops;
	int64_t network_bytes;
};

/*
 * Of each slot, one span for each number of seconds, in this order. A free slot has no windows.
 * ret_spans: slot_count times length_count.
 */
int sasm_sampler_spans(struct sasm_sampler *sampler, const uint32_t *slots, uint32_t slot_count,
		       const uint32_t *seconds, uint32_t length_count,
		       struct sasm_span *ret_spans);
