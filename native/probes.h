/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counting programs (bpf/counting.bpf.c): installed once, or adopted from their pins, and the
 * slots that they count into.
 *
 * With a pin directory, maps and programs outlive the process: counting goes on while nobody
 * looks, and the next open takes over what it finds if it was made the same way. Otherwise new
 * ones are installed, and then the old ones removed. If only the programs differ (an upgrade),
 * the maps with all their counts are kept.
 *
 * A slot is bound to one cgroup right below the root. Bound and unbound by one thread; the
 * readers need no lock. All return 0 or -errno.
 *
 * Declarations only: this file is included and given to cffi's cdef.
 */

#define SASM_PROBES_PROGRAMS 8

struct sasm_probes;

/* What could not be done, to what, and the last lines that libbpf and the verifier said. */
struct sasm_probes_error {
	char operation[32];
	char object[64];
	int32_t error;
	char log[4096];
};

struct sasm_probes_facts {
	uint64_t root_id;
	uint64_t object_hash;
	uint32_t slots_max;
	uint32_t cpus;		/* possible CPUs: rows per slot */
	uint32_t root_level;
	uint32_t is_adopted;	/* the maps, and their counts, were there before */
};

/*
 * root_fd: the cgroup whose children are the agents. pin_dir: a folder on a bpf file system, made
 * if it is not there; NULL: nothing outlives the process.
 */
int sasm_probes_open(const char *pin_dir, int root_fd, uint32_t slots_max,
		     struct sasm_probes **ret_probes, struct sasm_probes_error *ret_error);

/*
 * Programs that the caller compiled on this host, for a kernel without BTF; in the order of
 * sasm_probes_program. They name a map by its place in sasm_probes_map (BPF_PSEUDO_MAP_IDX).
 */
struct sasm_compiled {
	uint64_t hash;		/* of all that they are made from */
	uint32_t counts[SASM_PROBES_PROGRAMS];	/* of instructions */
	const uint64_t *instructions[SASM_PROBES_PROGRAMS];	/* NULL: not compiled yet */
};

/* The same as sasm_probes_open. ENODATA: nothing to adopt; compile, and call again. */
int sasm_probes_open_compiled(const char *pin_dir, int root_fd, uint32_t slots_max,
			      const struct sasm_compiled *compiled, struct sasm_probes **ret_probes,
			      struct sasm_probes_error *ret_error);

/* The map's name; NULL beyond the last. */
const char *sasm_probes_map(uint32_t map);

/* With is_unpin, removes the pins, and with them all programs and counts. Accepts NULL. */
int sasm_probes_close(struct sasm_probes *probes, bool is_unpin);

void sasm_probes_facts(const struct sasm_probes *probes, struct sasm_probes_facts *ret_facts);

/*
 * Counts the threads of the cgroup, and of all below it, into the slot from now on. Nothing
 * happens if it is bound so already. EBUSY: the slot has another cgroup; EEXIST: the cgroup has
 * another slot.
 */
int sasm_probes_bind(struct sasm_probes *probes, uint32_t slot, uint64_t cgroup_id);

/* ESRCH: not bound. The rows are zero afterwards, and no late thread counts into them. */
int sasm_probes_unbind(struct sasm_probes *probes, uint32_t slot);

/* Up to `capacity` bound slots with their cgroups' ids; returns how many there are. */
int sasm_probes_bound(const struct sasm_probes *probes, uint32_t *ret_slots, uint64_t *ret_ids,
		      uint32_t capacity);

/* The slot's figures, summed over the CPUs; the last exit is the newest of them. */
int sasm_probes_read(const struct sasm_probes *probes, uint32_t slot, struct sasm_row *ret_sum);

/*
 * The slot's syscalls by number, SASM_CALLS of them; their sum is the slot's syscalls, but for
 * those of the moment. ESRCH: not bound.
 */
int sasm_probes_calls(const struct sasm_probes *probes, uint32_t slot, uint64_t *ret_counts);

/*
 * Takes what ran since the last time, at most `capacity` records in their order; returns how many.
 * One caller. The fd becomes readable when the ring is half full.
 */
int sasm_probes_execs(struct sasm_probes *probes, struct sasm_exec *ret_execs, uint32_t capacity);
int sasm_probes_execs_fd(const struct sasm_probes *probes);

/* Records that came too late: their slot had been unbound. */
uint64_t sasm_probes_stale_execs(const struct sasm_probes *probes);

/* What could not be counted, by enum sasm_drop. */
void sasm_probes_drops(const struct sasm_probes *probes, uint64_t *ret_drops);

/* The program's name, NULL from SASM_PROBES_PROGRAMS on, and how often the kernel left it out. */
const char *sasm_probes_program(uint32_t program);
int sasm_probes_misses(const struct sasm_probes *probes, uint32_t program, uint64_t *ret_misses);
