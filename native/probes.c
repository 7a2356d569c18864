/* SPDX-License-Identifier: Apache-2.0 */
/* The slots of the counting programs: opened, bound, read. How they came to run: probes_install.c. */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal/probes_state.h"

static int map_shared(int fd, size_t size, void **ret_address, size_t *ret_bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t bytes = (size + page - 1) & ~(page - 1);
	void *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (address == MAP_FAILED)
		return -errno;
	*ret_address = address;
	*ret_bytes = bytes;
	return 0;
}

static int map_all(struct sasm_probes *probes)
{
	const struct sasm_layout *layout = &probes->layout;
	size_t rows = (size_t)layout->slots_max * layout->cpus;
	int code;

	code = map_shared(probes->maps[PROBES_ROWS], rows * sizeof(struct sasm_row),
			  (void **)&probes->rows, &probes->rows_bytes);
	if (code == 0)
		code = map_shared(probes->maps[PROBES_CPUS], layout->cpus * sizeof(struct sasm_cpu),
				  (void **)&probes->cpus, &probes->cpus_bytes);
	if (code == 0)
		code = map_shared(probes->maps[PROBES_STATE], sizeof(struct sasm_state),
				  (void **)&probes->state, &probes->state_bytes);
	return code;
}

/* Learns which slots are bound from the map that the programs use. */
static int read_tags(struct sasm_probes *probes)
{
	int fd = probes->maps[PROBES_TAGS];
	uint64_t id, *previous = NULL, tag;

	while (bpf_map_get_next_key(fd, previous, &id) == 0) {
		previous = &id;
		if (bpf_map_lookup_elem(fd, &id, &tag) < 0)
			return -errno;
		if ((uint32_t)tag < probes->layout.slots_max)
			probes->ids[(uint32_t)tag] = id;
	}
	return errno == ENOENT ? 0 : -errno;
}

static int open_probes(const char *pin_dir, int root_fd, uint32_t slots_max,
		       const struct sasm_compiled *compiled, struct sasm_probes **ret_probes,
		       struct sasm_probes_error *ret_error)
{
	struct sasm_probes *probes = calloc(1, sizeof(*probes));
	int code;

	memset(ret_error, 0, sizeof(*ret_error));
	if (!probes)
		return sasm_probes_fail(ret_error, "allocate", "probes", -ENOMEM);
	memset(probes->maps, -1, sizeof(probes->maps));
	memset(probes->links, -1, sizeof(probes->links));
	probes->root_fd = root_fd;
	if (pin_dir && (size_t)snprintf(probes->pin_dir, sizeof(probes->pin_dir), "%s", pin_dir) >=
			       sizeof(probes->pin_dir)) {
		code = sasm_probes_fail(ret_error, "pin in", "a path too long", -ENAMETOOLONG);
		goto out;
	}
	sasm_probes_collect_log(ret_error->log, sizeof(ret_error->log));
	code = sasm_probes_install(probes, root_fd, slots_max, compiled, ret_error);
	sasm_probes_collect_log(NULL, 0);
	if (code < 0)
		goto out;
	probes->ids = calloc(slots_max, sizeof(*probes->ids));
	code = probes->ids ? map_all(probes) : -ENOMEM;
	if (code == 0)
		code = sasm_probes_open_ring(probes);
	if (code == 0)
		code = read_tags(probes);
	if (code < 0)
		sasm_probes_fail(ret_error, "map", "the counters", code);
	else if (probes->is_adopted) /* the CPUs' notes may be from before a gap */
		__atomic_add_fetch(&probes->state->epoch, 1, __ATOMIC_SEQ_CST);
out:
	if (code < 0)
		sasm_probes_close(probes, false);
	else
		*ret_probes = probes;
	return code;
}

int sasm_probes_open(const char *pin_dir, int root_fd, uint32_t slots_max,
		     struct sasm_probes **ret_probes, struct sasm_probes_error *ret_error)
{
	return open_probes(pin_dir, root_fd, slots_max, NULL, ret_probes, ret_error);
}

int sasm_probes_open_compiled(const char *pin_dir, int root_fd, uint32_t slots_max,
			      const struct sasm_compiled *compiled, struct sasm_probes **ret_probes,
			      struct sasm_probes_error *ret_error)
{
	return open_probes(pin_dir, root_fd, slots_max, compiled, ret_probes, ret_error);
}

int sasm_probes_close(struct sasm_probes *probes, bool is_unpin)
{
	int code = 0;

	if (!probes)
		return 0;
	if (is_unpin && *probes->pin_dir) {
		code = sasm_probes_remove_pins(probes->pin_dir, false);
		if (code == 0 && rmdir(probes->pin_dir) < 0 && errno != ENOENT)
			code = -errno;
	}
	sasm_probes_close_ring(probes);
	if (probes->rows)
		munmap(probes->rows, probes->rows_bytes);
	if (probes->cpus)
		munmap(probes->cpus, probes->cpus_bytes);
	if (probes->state)
		munmap(probes->state, probes->state_bytes);
	sasm_probes_close_fds(probes);
	free(probes->ids);
	free(probes);
	return code;
}

void sasm_probes_facts(const struct sasm_probes *probes, struct sasm_probes_facts *ret_facts)
{
	*ret_facts = (struct sasm_probes_facts){
		.root_id = probes->layout.root_id,
		.object_hash = probes->layout.object_hash,
		.slots_max = probes->layout.slots_max,
		.cpus = probes->layout.cpus,
		.root_level = probes->layout.root_level,
		.is_adopted = probes->is_adopted,
	};
}

/* Gives the slot's rows a new generation, which no tag has, and empties them. */
static uint64_t renew_rows(struct sasm_probes *probes, uint32_t slot)
{
	uint64_t generation = sasm_probes_row(probes, slot, 0)->generation + 1;

	/* A tag's upper half; 0 is left out, so that no tag is 0. */
	if (generation > UINT32_MAX)
		generation = 1;
	for (uint32_t cpu = 0; cpu < probes->layout.cpus; cpu++) {
		struct sasm_row *row = sasm_probes_row(probes, slot, cpu);

		__atomic_store_n(&row->generation, generation, __ATOMIC_SEQ_CST);
		memset((char *)row + sizeof(row->generation), 0,
		       sizeof(*row) - sizeof(row->generation));
	}
	return generation;
}

int sasm_probes_bind(struct sasm_probes *probes, uint32_t slot, uint64_t cgroup_id)
{
	uint64_t tag;
	int code;

	if (slot >= probes->layout.slots_max || !cgroup_id)
		return -EINVAL;
	if (probes->ids[slot])
		return probes->ids[slot] == cgroup_id ? 0 : -EBUSY;
	tag = renew_rows(probes, slot) << 32 | slot;
	/* Now, when no tag means the slot, and not earlier: a late call may still have been counted. */
	code = sasm_probes_clear_calls(probes, slot);
	if (code < 0)
		return code;
	if (bpf_map_update_elem(probes->maps[PROBES_TAGS], &cgroup_id, &tag, BPF_NOEXIST) < 0)
		return -errno;
	probes->ids[slot] = cgroup_id;
	__atomic_add_fetch(&probes->state->epoch, 1, __ATOMIC_SEQ_CST);
	return 0;
}

int sasm_probes_unbind(struct sasm_probes *probes, uint32_t slot)
{
	if (slot >= probes->layout.slots_max)
		return -EINVAL;
	if (!probes->ids[slot])
		return -ESRCH;
	if (bpf_map_delete_elem(probes->maps[PROBES_TAGS], &probes->ids[slot]) < 0)
		return -errno;
	probes->ids[slot] = 0;
	renew_rows(probes, slot);
	__atomic_add_fetch(&probes->state->epoch, 1, __ATOMIC_SEQ_CST);
	return 0;
}

int sasm_probes_bound(const struct sasm_probes *probes, uint32_t *ret_slots, uint64_t *ret_ids,
		      uint32_t capacity)
{
	uint32_t found = 0;

	for (uint32_t slot = 0; slot < probes->layout.slots_max; slot++) {
		if (!probes->ids[slot])
			continue;
		if (found < capacity) {
			ret_slots[found] = slot;
			ret_ids[found] = probes->ids[slot];
		}
		found++;
	}
	return (int)found;
}
