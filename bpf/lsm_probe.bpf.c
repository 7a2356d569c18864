// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Do LSM programs work here? Being listed in /sys/kernel/security/lsm does not say so: some
 * hosts list bpf and refuse to load, others load and never call. This one is called at the next
 * bpf(2), notes that, and decides nothing.
 *
 * Hook: lsm/bpf (Linux 5.7), CAP_BPF and CAP_PERFMON. Loaded, asked and removed within a
 * millisecond by native/support.c.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <stdint.h>

char LICENSE[] SEC("license") = "GPL";

uint32_t is_called = 0;

SEC("lsm/bpf")
int note_call(void *context)
{
	is_called = 1;
	return 0;
}
