// SPDX-License-Identifier: Apache-2.0
/*
 * The trivial agent: stamps into shared memory that its main() has begun, then
 * waits for a signal. What is measured ends here, by its own clock, so nobody
 * has to poll quickly for it.
 *
 *	agent INDEX FILE
 *
 * FILE holds one struct slot for each index; bench/slots.py is its other side.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct slot {
	uint64_t started_ns; /* CLOCK_MONOTONIC */
	uint32_t pid;
	uint32_t starts; /* written last */
};

int main(int argc, char **argv)
{
	struct timespec now;
	struct slot *slot;
	long index, page = 4096, offset;
	char *map;
	int fd;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (argc < 3)
		return 2;
	index = atol(argv[1]);
	offset = index * (long)sizeof(*slot);
	fd = open(argv[2], O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		perror(argv[2]);
		return 1;
	}
	map = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset / page * page);
	if (map == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	close(fd);
	slot = (struct slot *)(map + offset % page);
	slot->started_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	slot->pid = (uint32_t)getpid();
	__atomic_add_fetch(&slot->starts, 1, __ATOMIC_RELEASE);
	munmap(map, (size_t)page);
	for (;;)
		pause();
}
