/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: clone_into_cgroup DIRECTORY
 *
 * Starts a child straight inside a cgroup2 directory, with a pidfd, as the keeper starts agents.
 * Prints the child's line of /proc/self/cgroup, then waits until something kills the child and
 * prints how that was seen through the pidfd. Exit status: 0, or 1 with the step that failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static int fail(const char *step)
{
	fprintf(stderr, "%s: %s\n", step, strerror(errno));
	return 1;
}

static void child(void)
{
	char line[512];
	FILE *file = fopen("/proc/self/cgroup", "re");

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "0::", 3))
			fputs(line, stdout);
	fflush(stdout);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	int pidfd = -1;
	struct clone_args arguments = {
		.flags = CLONE_PIDFD | CLONE_INTO_CGROUP,
		.pidfd = (uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	siginfo_t info = { 0 };
	int directory;
	long pid;

	if (argc != 2)
		return 2;
	directory = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return fail("open");
	arguments.cgroup = (uint64_t)directory;
	pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
	if (pid < 0)
		return fail("clone3");
	if (pid == 0)
		child();
	if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0)
		return fail("waitid");
	if (info.si_pid != pid)
		return fail("si_pid");
	printf("ended code=%d status=%d\n", info.si_code == CLD_KILLED, info.si_status);
	return 0;
}
