// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How deep in the hierarchy a cgroup lies, asked of the kernel once before the counting programs
 * are loaded. Counting the components of a path is wrong inside a cgroup namespace.
 *
 * Hook: iter/cgroup over the one cgroup whose fd is given (Linux 6.1), CAP_BPF and CAP_PERFMON.
 * Read by native/probes_install.c.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "kernel_types.h"

char LICENSE[] SEC("license") = "GPL";

int32_t level = -1;

SEC("iter/cgroup")
int read_level(struct bpf_iter__cgroup *context)
{
	const struct cgroup *cgroup = *(struct cgroup *volatile *)&context->cgroup;

	/* NULL marks the end of the walk. Loaded once: the verifier trusts what was checked. */
	if (cgroup)
		level = cgroup->level;
	return 0;
}
