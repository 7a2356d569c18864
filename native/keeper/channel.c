// SPDX-License-Identifier: Apache-2.0
/*
 * Sources: unix(7), cmsg(3), pidfd_open(2). A packet with the wrong shape closes nothing by itself:
 * the caller does.
 */
#define _GNU_SOURCE
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD /* asm-generic/socket.h of Linux 6.5 */
#define SO_PEERPIDFD 77
#endif

/* A greeting of 1,000 children fits without a stall. */
#define SEND_BUFFER_BYTES (1 << 20)

/* Taking the name from a keeper that lives would leave its agents without orders. */
static bool is_taken(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool is_alive;

	if (fd < 0)
		return false;
	/* EAGAIN: its queue of connections is full. */
	is_alive = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
		   errno == EAGAIN;
	close(fd);
	return is_alive;
}

int sasm_channel_listen(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask;
	int fd, r;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	if (is_taken(&address))
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	unlink(path);
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4) ? -errno : 0;
	umask(mask);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* Agents may be root; what makes them agents is their cgroup, which they cannot leave. */
static bool is_inside_agents(pid_t pid)
{
	char path[32], text[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true; /* unreadable is not outside: fail closed */
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0 || n == sizeof(text) - 1)
		return true; /* nor is what has an end that we did not see */
	text[n] = 0;
	return strstr(text, "/agents/") != NULL;
}

/* The process that connected itself; before Linux 6.5 the one that has its number now. */
static int open_peer(int fd, pid_t pid)
{
	int pidfd;
	socklen_t length = sizeof(pidfd);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) == 0)
		return pidfd;
	return errno == ENOPROTOOPT ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

static bool may_command(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	bool is_outside;
	int pidfd;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) || peer.uid != 0)
		return false;
	pidfd = open_peer(fd, peer.pid);
	if (pidfd < 0)
		return false;
	/* Unreaped after the look: so what we looked at had this number and was this process. */
	is_outside = !is_inside_agents(peer.pid) &&
		     syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0;
	close(pidfd);
	return is_outside;
}

int sasm_channel_accept(int listener)
{
	const int bytes = SEND_BUFFER_BYTES;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (!may_command(fd)) {
		close(fd);
		return -EACCES;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	return fd;
}

bool sasm_channel_is_closed(int fd)
{
	struct pollfd end = { .fd = fd };

	return poll(&end, 1, 0) == 1 && (end.revents & POLLHUP);
}

int sasm_channel_send(int fd, const struct sasm_keeper_message *message, const int *fds,
		      unsigned int fd_count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * SASM_SPAWN_FD_NUM)];
	} control;
	struct iovec part = { (void *)message, sizeof(*message) };
	struct msghdr packet = { .msg_iov = &part, .msg_iovlen = 1 };

	if (fd_count) {
		struct cmsghdr *header;

		memset(&control, 0, sizeof(control));
		packet.msg_control = control.bytes;
		packet.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		header = CMSG_FIRSTHDR(&packet);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
	}
	if (sendmsg(fd, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return -errno;
	return 0;
}

int sasm_channel_receive(int fd, struct sasm_keeper_message *ret_message,
			 int ret_fds[SASM_SPAWN_FD_NUM])
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * SASM_SPAWN_FD_NUM)];
	} control;
	struct iovec part = { ret_message, sizeof(*ret_message) };
	struct msghdr packet = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		/* LEN, not SPACE: its padding would hold one descriptor more than ret_fds. */
		.msg_controllen = CMSG_LEN(sizeof(int) * SASM_SPAWN_FD_NUM),
	};
	struct cmsghdr *header;
	ssize_t n;

	for (int i = 0; i < SASM_SPAWN_FD_NUM; i++)
		ret_fds[i] = -1;
	n = recvmsg(fd, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	for (header = CMSG_FIRSTHDR(&packet); header; header = CMSG_NXTHDR(&packet, header))
		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
			memcpy(ret_fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
	if (n == 0)
		return 0;
	if (n != sizeof(*ret_message) || (packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    ret_message->magic != SASM_KEEPER_MAGIC)
		return -EPROTO;
	return 1;
}
