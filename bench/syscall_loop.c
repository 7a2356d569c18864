// SPDX-License-Identifier: Apache-2.0
/*
 * syscall_loop PROCS COUNT
 *
 * Joins the cgroup of this cgroup.procs ("-": stays), waits for one switch so that whoever notes
 * switches has noted it, and makes COUNT calls of getppid, the cheapest there is. Prints the
 * nanoseconds per call by the thread's own CPU clock: on a shared machine the wall clock would
 * count the others' time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (double)used.tv_sec * 1e9 + (double)used.tv_nsec;
}

int main(int argc, char **argv)
{
	long count;
	double begun;

	if (argc != 3)
		return 2;
	if (strcmp(argv[1], "-")) {
		int fd = open(argv[1], O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "0", 1) != 1)
			return 1;
		close(fd);
	}
	usleep(1000);
	count = atol(argv[2]);
	begun = now_ns();
	for (long i = 0; i < count; i++)
		syscall(SYS_getppid);
	printf("%.2f\n", (now_ns() - begun) / (double)count);
	return 0;
}
