/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points a cgroup of the counting programs' map at a slot that has no row.
 *
 *	stray_tag PINNED_MAP CGROUP_ID SLOT
 *
 * By bpf(2) itself, since the programs of tests are linked with nothing.
 */
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(int command, union bpf_attr *attributes)
{
	return (int)syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

int main(int argc, char **argv)
{
	union bpf_attr get = { 0 }, update = { 0 };
	uint64_t id, tag;
	int fd;

	if (argc != 4)
		return EXIT_FAILURE;
	get.pathname = (uint64_t)(uintptr_t)argv[1];
	fd = bpf(BPF_OBJ_GET, &get);
	if (fd < 0) {
		perror(argv[1]);
		return EXIT_FAILURE;
	}
	id = strtoull(argv[2], NULL, 10);
	tag = 1ULL << 32 | strtoull(argv[3], NULL, 10);
	update.map_fd = (uint32_t)fd;
	update.key = (uint64_t)(uintptr_t)&id;
	update.value = (uint64_t)(uintptr_t)&tag;
	update.flags = BPF_EXIST;
	if (bpf(BPF_MAP_UPDATE_ELEM, &update) < 0) {
		perror("update");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
