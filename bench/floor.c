// SPDX-License-Identifier: Apache-2.0
/*
 * The floor under every supervisor: posix_spawn and one pidfd per agent in one
 * epoll; whoever ends is spawned again at once. It places nothing in cgroups,
 * counts, limits, logs and remembers nothing.
 *
 *	floor N AGENT FILE
 */
#include <errno.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static int epoll_fd;

static int spawn(uint32_t index, char *agent, char *file)
{
	char number[16];
	char *argv[] = { agent, number, file, NULL };
	struct epoll_event event = { .events = EPOLLIN };
	pid_t pid;
	int pidfd, r;

	snprintf(number, sizeof(number), "%u", index);
	r = posix_spawn(&pid, agent, NULL, NULL, argv, environ);
	if (r) {
		fprintf(stderr, "%s: %s\n", agent, strerror(r));
		exit(1);
	}
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	event.data.u64 = (uint64_t)index << 32 | (uint32_t)pidfd;
	if (pidfd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pidfd, &event)) {
		perror("watch");
		exit(1);
	}
	return pidfd;
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	uint32_t agents = argc == 4 ? (uint32_t)atol(argv[1]) : 0;

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (uint32_t i = 0; i < agents; i++)
		spawn(i, argv[2], argv[3]);
	for (;;) {
		int count = epoll_wait(epoll_fd, events, 64, -1);

		for (int i = 0; i < count; i++) {
			int pidfd = (int)(uint32_t)events[i].data.u64;
			siginfo_t info;

			waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
			close(pidfd);
			spawn((uint32_t)(events[i].data.u64 >> 32), argv[2], argv[3]);
		}
	}
}
