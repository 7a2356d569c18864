/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What probes.c (slots), probes_install.c (load, attach, adopt) and the sampler share.
 *
 * The mappings are shared with the kernel: BPF programs write them at any time. User space writes
 * a row's other fields only while its generation matches no tag, and the state's epoch only by
 * atomic addition.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "records_abi.h"

#include "probes.h"

/* The maps that are pinned; the order is that of sasm_probes_map_names. */
enum probes_map {
	PROBES_ROWS,
	PROBES_CPUS,
	PROBES_TAGS,
	PROBES_THREADS,
	PROBES_CALLS,
	PROBES_EXECS,
	PROBES_RECEIVED,
	PROBES_STATE,
	PROBES_LAYOUT,	/* pinned last and unpinned first: where it is, everything is */
	PROBES_MAPS
};

struct sasm_probes {
	char pin_dir[PATH_MAX];	/* "": nothing is pinned */
	struct sasm_layout layout;
	bool is_adopted;
	int maps[PROBES_MAPS];
	int links[SASM_PROBES_PROGRAMS];
	struct sasm_row *rows;
	struct sasm_cpu *cpus;
	struct sasm_state *state;
	size_t rows_bytes, cpus_bytes, state_bytes;
	uint64_t *ids;		/* by slot: the bound cgroup's id; 0: free */
	int root_fd;		/* borrowed, while the programs are installed */
	struct ring_buffer *ring;	/* libbpf's reader of the execs */
	struct sasm_exec *execs;	/* where the drain in progress puts them */
	uint32_t execs_found, execs_capacity;
	uint64_t execs_stale;
};

/* Of maps that programs of the host's own count into: their claims are of another kind. */
#define PROBES_MAGIC_COMPILED (SASM_LAYOUT_MAGIC + 1)

struct bpf_map;

extern const char *const sasm_probes_map_names[PROBES_MAPS];
extern const char *const sasm_probes_program_names[SASM_PROBES_PROGRAMS];

/*
 * Fills maps, links and layout; `compiled`: NULL for the programs that are linked in. On failure
 * fills *error and returns its -errno.
 */
int sasm_probes_install(struct sasm_probes *probes, int root_fd, uint32_t slots_max,
			const struct sasm_compiled *compiled, struct sasm_probes_error *error);

/*
 * How deep the cgroup lies, as the kernel counts; without BTF by climbing, which fails inside a
 * cgroup namespace.
 */
int sasm_probes_read_level(int cgroup_fd, uint32_t *ret_level, struct sasm_probes_error *error);
int sasm_probes_climb_level(int cgroup_fd, uint32_t *ret_level, struct sasm_probes_error *error);

/*
 * probes_compiled.c: a map of the type, size and content that libbpf's object says, as an fd; and
 * the host's own programs loaded over the maps of `probes` and attached.
 */
int sasm_probes_make_map(const struct bpf_map *map);
int sasm_probes_attach_compiled(struct sasm_probes *probes, const struct sasm_compiled *compiled,
				struct sasm_probes_error *error);

/* Collects what libbpf says in this thread into log (of `size` bytes); NULL: drops it. */
void sasm_probes_collect_log(char *log, size_t size);

int sasm_probes_fail(struct sasm_probes_error *error, const char *operation, const char *object,
		     int code);

/* probes_execs.c: 0 or -errno; the second accepts probes whose ring was never opened. */
int sasm_probes_open_ring(struct sasm_probes *probes);
void sasm_probes_close_ring(struct sasm_probes *probes);

/* probes_read.c: sets the slot's syscalls by number to 0. */
int sasm_probes_clear_calls(const struct sasm_probes *probes, uint32_t slot);

/* probes_pins.c: 0, or -ENOENT when the folder holds no complete set. */
int sasm_probes_open_pins(struct sasm_probes *probes);
int sasm_probes_make_pins(struct sasm_probes *probes, struct sasm_probes_error *error);
int sasm_probes_remove_pins(const char *pin_dir, bool is_links_only);
void sasm_probes_close_fds(struct sasm_probes *probes);

static inline struct sasm_row *sasm_probes_row(const struct sasm_probes *probes, uint32_t slot,
					       uint32_t cpu)
{
	return &probes->rows[(size_t)slot * probes->layout.cpus + cpu];
}
