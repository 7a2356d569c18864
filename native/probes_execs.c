/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what ran from the ring that the counting programs fill (bpf/exec_ring.bpf.h). */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "internal/probes_state.h"

/* libbpf's own numbers are small; this one says that the caller's room is used up. */
#define ROOM_IS_FULL (-9999)

/* The record's slot may have been unbound since, and even have another agent. */
static bool is_stale(const struct sasm_probes *probes, const struct sasm_exec *event)
{
	uint32_t slot = (uint32_t)event->tag;

	return slot >= probes->layout.slots_max ||
	       __atomic_load_n(&sasm_probes_row(probes, slot, 0)->generation, __ATOMIC_RELAXED) !=
		       event->tag >> 32;
}

/* libbpf has moved past the record when this returns, whatever it returns. */
static int take(void *context, void *data, size_t bytes)
{
	struct sasm_probes *probes = context;
	struct sasm_exec *event = &probes->execs[probes->execs_found];

	if (bytes > sizeof(*event))
		bytes = sizeof(*event);
	memset(event, 0, sizeof(*event));
	memcpy(event, data, bytes);
	if (is_stale(probes, event)) {
		probes->execs_stale++;
		return 0;
	}
	return ++probes->execs_found == probes->execs_capacity ? ROOM_IS_FULL : 0;
}

int sasm_probes_open_ring(struct sasm_probes *probes)
{
	probes->ring = ring_buffer__new(probes->maps[PROBES_EXECS], take, probes, NULL);
	return probes->ring ? 0 : -errno;
}

void sasm_probes_close_ring(struct sasm_probes *probes)
{
	ring_buffer__free(probes->ring);
	probes->ring = NULL;
}

int sasm_probes_execs(struct sasm_probes *probes, struct sasm_exec *ret_execs, uint32_t capacity)
{
	int code;

	if (!capacity)
		return -EINVAL;
	probes->execs = ret_execs;
	probes->execs_capacity = capacity;
	probes->execs_found = 0;
	code = ring_buffer__consume(probes->ring);
	probes->execs = NULL;
	if (code < 0 && code != ROOM_IS_FULL)
		return code;
	return (int)probes->execs_found;
}

int sasm_probes_execs_fd(const struct sasm_probes *probes)
{
	return ring_buffer__epoll_fd(probes->ring);
}

uint64_t sasm_probes_stale_execs(const struct sasm_probes *probes)
{
	return probes->execs_stale;
}
