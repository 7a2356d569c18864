/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What BPF programs and maps cost, as the kernel keeps it: run time and runs of a program, while
 * somebody has asked for them to be kept; sizes of maps.
 *
 * Objects are found by their ids, which needs CAP_SYS_ADMIN. All return 0, or a descriptor to be
 * closed, or -errno.
 *
 * Declarations only: this file is included and given to cffi's cdef.
 */

#define SASM_BPF_MAPS_MAX 32

struct sasm_bpf_program {
	char name[16];		/* cut by the kernel; "" when it has none */
	uint32_t id;
	uint32_t map_count;	/* of map_ids that are filled */
	uint32_t map_ids[SASM_BPF_MAPS_MAX];
	uint64_t run_time_ns;	/* both stand still while nobody has the statistics on */
	uint64_t run_count;
	uint64_t recursion_misses;	/* not run, since it would have interrupted itself */
};

struct sasm_bpf_map {
	char name[16];
	uint32_t id;
	uint32_t entries_max;
};

/*
 * Has the kernel time every run of every BPF program on the host, as long as the returned
 * descriptor is open (several may be). Linux 5.8. EINVAL: not known; EPERM: not allowed.
 */
int sasm_bpf_keep_statistics(void);

int sasm_bpf_open_program(uint32_t id);
int sasm_bpf_open_map(uint32_t id);

/* The descriptor must be of a program, or of a map: the kernel answers for whatever it is. */
int sasm_bpf_read_program(int fd, struct sasm_bpf_program *ret_program);
int sasm_bpf_read_map(int fd, struct sasm_bpf_map *ret_map);
