/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gets the counting programs running: adopts a pinned set that was made the same way, or loads
 * and attaches a new one. libbpf's objects live only during the install; what stays are fds.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal/probes_state.h"

#include "counting.skel.h"

const char *const sasm_probes_map_names[PROBES_MAPS] = {
	"rows", "cpus", "tags", "threads", "calls", "exec_ring", "received", "state",
	"layout",
};

/*
 * In the order in which they are attached: who notes the running thread's slot comes first, who
 * is called most comes last.
 */
const char *const sasm_probes_program_names[SASM_PROBES_PROGRAMS] = {
	"cgroup_attach_task", "sched_switch",	    "sched_process_fork",
	"sched_process_exec", "sched_process_exit", "receive", "transmit", "sys_enter",
};

/* FNV-1a, 64 bits: tells builds apart, not attackers. */
static uint64_t hash_bytes(const unsigned char *bytes, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
	return hash;
}

const char *sasm_probes_map(uint32_t map)
{
	return map < PROBES_MAPS ? sasm_probes_map_names[map] : NULL;
}

static int describe(int root_fd, uint32_t slots_max, const struct sasm_compiled *compiled,
		    struct sasm_layout *ret_layout, struct sasm_probes_error *error)
{
	int cpus = libbpf_num_possible_cpus();
	struct sasm_layout layout = {
		.magic = compiled ? PROBES_MAGIC_COMPILED : SASM_LAYOUT_MAGIC,
		.version = SASM_LAYOUT_VERSION,
		.slots_max = slots_max,
		.cpus = (uint32_t)cpus,
		.lanes = cpus < SASM_LANES_MAX ? (uint32_t)cpus : SASM_LANES_MAX,
	};
	const void *bytes;
	struct stat status;
	size_t size;
	int code;

	if (cpus < 0)
		return sasm_probes_fail(error, "count", "possible CPUs", cpus);
	/* A tag has 32 bits for its slot, an array map 32 for its index. */
	if (!slots_max || (uint64_t)slots_max * layout.cpus > INT32_MAX)
		return sasm_probes_fail(error, "size the map", "rows", -EINVAL);
	if (fstat(root_fd, &status) < 0)
		return sasm_probes_fail(error, "stat", "the agents' root cgroup", -errno);
	code = compiled ? sasm_probes_climb_level(root_fd, &layout.root_level, error)
			: sasm_probes_read_level(root_fd, &layout.root_level, error);
	if (code < 0)
		return code;
	layout.root_id = status.st_ino; /* a cgroup's id is its inode number */
	bytes = sasm_counting__elf_bytes(&size);
	layout.object_hash = compiled ? compiled->hash : hash_bytes(bytes, size);
	*ret_layout = layout;
	return 0;
}

static bool is_same_maps(const struct sasm_layout *a, const struct sasm_layout *b)
{
	return memcmp(a, b, offsetof(struct sasm_layout, object_hash)) == 0;
}

static struct bpf_map *object_map(const struct sasm_counting *object, int map)
{
	struct bpf_map *const maps[PROBES_MAPS] = {
		object->maps.rows,  object->maps.cpus,	object->maps.tags, object->maps.threads,
		object->maps.calls, object->maps.exec_ring, object->maps.received, object->maps.bss,
		object->maps.layout,
	};

	return maps[map];
}

/* Sets sizes and constants, or takes over the maps of `probes` where they are open. */
static int prepare(struct sasm_counting *object, const struct sasm_probes *probes,
		   const struct sasm_layout *layout, struct sasm_probes_error *error)
{
	int code = 0;

	object->rodata->cpus_max = layout->cpus;
	object->rodata->lanes = layout->lanes;
	object->rodata->root_level = layout->root_level;
	object->rodata->root_id = layout->root_id;
	for (int i = 0; i < PROBES_MAPS && code == 0; i++) {
		if (probes->maps[i] >= 0)
			code = bpf_map__reuse_fd(object_map(object, i), probes->maps[i]);
		if (code < 0)
			return sasm_probes_fail(error, "keep the map", sasm_probes_map_names[i], code);
	}
	if (probes->maps[PROBES_ROWS] >= 0)
		return 0;
	code = bpf_map__set_max_entries(object->maps.rows, layout->slots_max * layout->cpus);
	if (code == 0)
		code = bpf_map__set_max_entries(object->maps.cpus, layout->cpus);
	if (code == 0)
		code = bpf_map__set_max_entries(object->maps.tags, layout->slots_max);
	if (code == 0)
		code = bpf_map__set_max_entries(object->maps.calls, layout->slots_max * layout->lanes);
	object->bss->state.epoch = 1; /* no CPU has looked yet: theirs is 0 */
	return code == 0 ? 0 : sasm_probes_fail(error, "size the maps", "counting", code);
}

/* The fd outlives libbpf's object, and with it the map or the link. */
static int keep(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? -errno : copy;
}

/* A packet's program goes to the agents' root, for all cgroups below it; the others say where. */
static struct bpf_link *attach_program(const struct bpf_program *program, int root_fd)
{
	if (bpf_program__type(program) == BPF_PROG_TYPE_CGROUP_SKB)
		return bpf_program__attach_cgroup(program, root_fd);
	return bpf_program__attach(program);
}

static int attach(const struct sasm_counting *object, struct sasm_probes *probes,
		  struct sasm_probes_error *error)
{
	for (int i = 0; i < SASM_PROBES_PROGRAMS; i++) {
		const char *name = sasm_probes_program_names[i];
		struct bpf_program *program = bpf_object__find_program_by_name(object->obj, name);
		struct bpf_link *link = program ? attach_program(program, probes->root_fd) : NULL;
		int fd;

		if (!link)
			return sasm_probes_fail(error, "attach the program", name,
						program ? -errno : -ENOENT);
		fd = keep(bpf_link__fd(link));
		bpf_link__destroy(link);
		if (fd < 0)
			return sasm_probes_fail(error, "keep the link", name, fd);
		probes->links[i] = fd;
	}
	return 0;
}

static int keep_maps(const struct sasm_counting *object, struct sasm_probes *probes,
		     bool is_compiled, struct sasm_probes_error *error)
{
	uint32_t key = 0;
	int code;

	for (int i = 0; i < PROBES_MAPS; i++) {
		if (probes->maps[i] >= 0)
			continue;
		code = is_compiled ? sasm_probes_make_map(object_map(object, i))
				   : keep(bpf_map__fd(object_map(object, i)));
		if (code < 0)
			return sasm_probes_fail(error, is_compiled ? "make the map" : "keep the map",
						sasm_probes_map_names[i], code);
		probes->maps[i] = code;
	}
	code = bpf_map_update_elem(probes->maps[PROBES_LAYOUT], &key, &probes->layout, BPF_ANY);
	return code < 0 ? sasm_probes_fail(error, "write the map", "layout", code) : 0;
}

/* Loads and attaches; on failure nothing is left attached. ENODATA: they must be compiled first. */
static int load(struct sasm_probes *probes, const struct sasm_layout *layout,
		const struct sasm_compiled *compiled, struct sasm_probes_error *error)
{
	struct sasm_counting *object;
	int code;

	if (compiled && !compiled->counts[0])
		return sasm_probes_fail(error, "find", "compiled programs", -ENODATA);
	object = sasm_counting__open();
	if (!object)
		return sasm_probes_fail(error, "open the object", "counting", -errno);
	code = prepare(object, probes, layout, error);
	if (code < 0)
		goto out;
	/* With programs of the host's own, libbpf's object tells only what the maps are. */
	code = compiled ? 0 : sasm_counting__load(object);
	if (code < 0) {
		sasm_probes_fail(error, "load the object", "counting", code);
		goto out;
	}
	probes->layout = *layout;
	code = keep_maps(object, probes, compiled != NULL, error);
	if (code == 0)
		code = compiled ? sasm_probes_attach_compiled(probes, compiled, error)
				: attach(object, probes, error);
out:
	sasm_counting__destroy(object);
	if (code < 0)
		sasm_probes_close_fds(probes);
	return code;
}

/* All or nothing: half a set would go on counting, and nobody would find it. */
static int pin(struct sasm_probes *probes, struct sasm_probes_error *error)
{
	int code = sasm_probes_make_pins(probes, error);

	if (code < 0)
		sasm_probes_remove_pins(probes->pin_dir, false);
	return code;
}

/*
 * Puts this build's programs over the maps of another's. The old ones go first: for some
 * microseconds nothing is counted. The other order would count twice, and a limit could trip.
 */
static int upgrade(struct sasm_probes *probes, const struct sasm_layout *layout,
		   const struct sasm_compiled *compiled, struct sasm_probes_error *error)
{
	int code;

	/* Compiling takes a second, in which the old ones had better count. */
	if (compiled && !compiled->counts[0])
		return sasm_probes_fail(error, "find", "compiled programs", -ENODATA);
	code = sasm_probes_remove_pins(probes->pin_dir, true);
	if (code < 0)
		return sasm_probes_fail(error, "remove the pins of", probes->pin_dir, code);
	for (int i = 0; i < SASM_PROBES_PROGRAMS; i++) {
		close(probes->links[i]);
		probes->links[i] = -1;
	}
	code = load(probes, layout, compiled, error);
	return code < 0 ? code : pin(probes, error);
}

int sasm_probes_install(struct sasm_probes *probes, int root_fd, uint32_t slots_max,
			const struct sasm_compiled *compiled, struct sasm_probes_error *error)
{
	const char *pin_dir = probes->pin_dir;
	struct sasm_layout layout;
	int code = describe(root_fd, slots_max, compiled, &layout, error);

	if (code < 0)
		return code;
	if (!*pin_dir)
		return load(probes, &layout, compiled, error);
	if (mkdir(pin_dir, 0700) < 0 && errno != EEXIST)
		return sasm_probes_fail(error, "make the folder", pin_dir, -errno);
	if (sasm_probes_open_pins(probes) == 0) {
		probes->is_adopted = is_same_maps(&probes->layout, &layout);
		if (probes->is_adopted && probes->layout.object_hash == layout.object_hash)
			return 0;
		if (probes->is_adopted)
			return upgrade(probes, &layout, compiled, error);
		sasm_probes_close_fds(probes);
	}
	code = load(probes, &layout, compiled, error);
	if (code < 0)
		return code;
	code = sasm_probes_remove_pins(pin_dir, false);
	if (code < 0)
		return sasm_probes_fail(error, "remove the pins of", pin_dir, code);
	return pin(probes, error);
}
