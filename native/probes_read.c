/* SPDX-License-Identifier: Apache-2.0 */
/* What the counting programs have counted, and what they could not count. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "internal/probes_state.h"

static uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* The writer stores the time last: a pair is whole if the time is the same before and after. */
static void take_last_exit(const struct sasm_row *row, struct sasm_row *sum)
{
	uint64_t before, after = __atomic_load_n(&row->last_exit_ns, __ATOMIC_ACQUIRE);
	int32_t pid, status;

	if (after <= sum->last_exit_ns)
		return;
	do {
		before = after;
		pid = __atomic_load_n(&row->last_exit_pid, __ATOMIC_RELAXED);
		status = __atomic_load_n(&row->last_exit_status, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		after = __atomic_load_n(&row->last_exit_ns, __ATOMIC_RELAXED);
	} while (before != after);
	sum->last_exit_ns = after;
	sum->last_exit_pid = pid;
	sum->last_exit_status = status;
}

int sasm_probes_read(const struct sasm_probes *probes, uint32_t slot, struct sasm_row *ret_sum)
{
	struct sasm_row sum = { 0 };

	if (slot >= probes->layout.slots_max)
		return -EINVAL;
	for (uint32_t cpu = 0; cpu < probes->layout.cpus; cpu++) {
		const struct sasm_row *row = sasm_probes_row(probes, slot, cpu);

		sum.syscalls += load(&row->syscalls);
		sum.io_calls += load(&row->io_calls);
		sum.switches += load(&row->switches);
		sum.forks += load(&row->forks);
		sum.execs += load(&row->execs);
		sum.exits += load(&row->exits);
		sum.exits_error += load(&row->exits_error);
		sum.exits_signal += load(&row->exits_signal);
		sum.page_faults += load(&row->page_faults);
		sum.major_faults += load(&row->major_faults);
		sum.network_receive_bytes += load(&row->network_receive_bytes);
		sum.network_transmit_bytes += load(&row->network_transmit_bytes);
		take_last_exit(row, &sum);
	}
	sum.generation = load(&sasm_probes_row(probes, slot, 0)->generation);
	*ret_sum = sum;
	return 0;
}

int sasm_probes_calls(const struct sasm_probes *probes, uint32_t slot, uint64_t *ret_counts)
{
	struct sasm_calls calls;

	if (slot >= probes->layout.slots_max)
		return -EINVAL;
	if (!probes->ids[slot])
		return -ESRCH;
	memset(ret_counts, 0, sizeof(calls.counts));
	for (uint32_t lane = 0; lane < probes->layout.lanes; lane++) {
		uint32_t index = slot * probes->layout.lanes + lane;

		if (bpf_map_lookup_elem(probes->maps[PROBES_CALLS], &index, &calls) < 0)
			return -errno;
		for (int number = 0; number < SASM_CALLS; number++)
			ret_counts[number] += calls.counts[number];
	}
	return 0;
}

int sasm_probes_clear_calls(const struct sasm_probes *probes, uint32_t slot)
{
	static const struct sasm_calls none;

	for (uint32_t lane = 0; lane < probes->layout.lanes; lane++) {
		uint32_t index = slot * probes->layout.lanes + lane;

		if (bpf_map_update_elem(probes->maps[PROBES_CALLS], &index, &none, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

void sasm_probes_drops(const struct sasm_probes *probes, uint64_t *ret_drops)
{
	for (int i = 0; i < SASM_DROP_NUM; i++)
		ret_drops[i] = load(&probes->state->drops[i]);
}

const char *sasm_probes_program(uint32_t program)
{
	return program < SASM_PROBES_PROGRAMS ? sasm_probes_program_names[program] : NULL;
}

/*
 * A program is left out when it would interrupt itself on its CPU. Asked by way of the link,
 * since an adopted program has no other name.
 */
int sasm_probes_misses(const struct sasm_probes *probes, uint32_t program, uint64_t *ret_misses)
{
	struct bpf_link_info link = { 0 };
	struct bpf_prog_info info = { 0 };
	uint32_t link_bytes = sizeof(link), info_bytes = sizeof(info);
	int fd, code;

	if (program >= SASM_PROBES_PROGRAMS)
		return -EINVAL;
	if (bpf_obj_get_info_by_fd(probes->links[program], &link, &link_bytes) < 0)
		return -errno;
	fd = bpf_prog_get_fd_by_id(link.prog_id);
	if (fd < 0)
		return fd;
	code = bpf_obj_get_info_by_fd(fd, &info, &info_bytes) < 0 ? -errno : 0;
	close(fd);
	if (code == 0)
		*ret_misses = info.recursion_misses;
	return code;
}
