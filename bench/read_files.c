// SPDX-License-Identifier: Apache-2.0
/*
 * Open, read to the end, close: how long, for several files in turn, so that
 * whatever else the machine does meets them all alike.
 *
 *	read_files ROUNDS PATH...
 *
 * Prints a JSON list: for each path its bytes, and p50, p99 and min in ns.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP_ROUNDS 200

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* The bytes of the file; ends the program on an error. */
static long read_file(const char *path)
{
	static char buffer[1 << 16];
	long total = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		perror(path);
		exit(1);
	}
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		total += n;
	if (n < 0) {
		perror(path);
		exit(1);
	}
	close(fd);
	return total;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	long rounds = argc > 2 ? atol(argv[1]) : 0;
	int paths = argc - 2;
	int64_t *times;
	long bytes = 0;

	if (rounds < 100)
		return 2;
	times = calloc((size_t)(rounds * paths), sizeof(*times));
	if (!times)
		return 1;
	for (long round = -WARM_UP_ROUNDS; round < rounds; round++) {
		for (int turn = 0; turn < paths; turn++) {
			/* Each comes after each other equally often. */
			int path = (int)((round + WARM_UP_ROUNDS) / paths + turn *
				   (round & 1 ? 1 : paths - 1)) % paths;
			int64_t start = now_ns();

			read_file(argv[2 + path]);
			if (round >= 0)
				times[path * rounds + round] = now_ns() - start;
		}
	}
	for (int path = 0; path < paths; path++) {
		int64_t *mine = times + path * rounds;

		bytes = read_file(argv[2 + path]);
		qsort(mine, (size_t)rounds, sizeof(*mine), compare);
		printf("%s{\"path\": \"%s\", \"bytes\": %ld, \"p50_ns\": %ld, \"p99_ns\": %ld, "
		       "\"min_ns\": %ld}",
		       path ? ", " : "[", argv[2 + path], bytes, (long)mine[rounds / 2],
		       (long)mine[rounds * 99 / 100], (long)mine[0]);
	}
	puts("]");
	free(times);
	return 0;
}
