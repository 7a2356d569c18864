/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the kernel's own accounts of BPF objects; bpf_cost.h says what for. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "bpf_cost.h"

int sasm_bpf_keep_statistics(void)
{
	int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);

	return fd < 0 ? -errno : fd;
}

int sasm_bpf_open_program(uint32_t id)
{
	int fd = bpf_prog_get_fd_by_id(id);

	return fd < 0 ? -errno : fd;
}

int sasm_bpf_open_map(uint32_t id)
{
	int fd = bpf_map_get_fd_by_id(id);

	return fd < 0 ? -errno : fd;
}

int sasm_bpf_read_program(int fd, struct sasm_bpf_program *ret_program)
{
	struct sasm_bpf_program program = { 0 };
	struct bpf_prog_info info = { 0 };
	uint32_t bytes = sizeof(info);

	info.map_ids = (uint64_t)(uintptr_t)program.map_ids;
	info.nr_map_ids = SASM_BPF_MAPS_MAX;
	if (bpf_obj_get_info_by_fd(fd, &info, &bytes) < 0)
		return -errno;
	memcpy(program.name, info.name, sizeof(program.name));
	program.id = info.id;
	/* The kernel answers with how many there are, also when fewer fit. */
	program.map_count = info.nr_map_ids < SASM_BPF_MAPS_MAX ? info.nr_map_ids :
								    SASM_BPF_MAPS_MAX;
	program.run_time_ns = info.run_time_ns;
	program.run_count = info.run_cnt;
	program.recursion_misses = info.recursion_misses;
	*ret_program = program;
	return 0;
}

int sasm_bpf_read_map(int fd, struct sasm_bpf_map *ret_map)
{
	struct bpf_map_info info = { 0 };
	uint32_t bytes = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &bytes) < 0)
		return -errno;
	*ret_map = (struct sasm_bpf_map){ .id = info.id, .entries_max = info.max_entries };
	memcpy(ret_map->name, info.name, sizeof(ret_map->name));
	return 0;
}
