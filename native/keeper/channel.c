// SPDX-License-Identifier: Apache-2.0
/* Sources: unix(7), cmsg(3). A packet with the wrong shape closes nothing by itself: the caller does. */
#define _GNU_SOURCE
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int sasm_channel_listen(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask;
	int fd, r;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
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
static int is_inside_agents(pid_t pid)
{
	char path[32], text[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 1; /* unreadable is not outside: fail closed */
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 1;
	text[n] = 0;
	return strstr(text, "/agents/") != NULL;
}

int sasm_channel_accept(int listener, pid_t *ret_pid)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) || peer.uid != 0 ||
	    is_inside_agents(peer.pid)) {
		close(fd);
		return -EACCES;
	}
	*ret_pid = peer.pid;
	return fd;
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
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *header;
	ssize_t n = recvmsg(fd, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return -errno;
	for (int i = 0; i < SASM_SPAWN_FD_NUM; i++)
		ret_fds[i] = -1;
	for (header = CMSG_FIRSTHDR(&packet); header; header = CMSG_NXTHDR(&packet, header))
		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
			memcpy(ret_fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
	if (n == 0)
		return 0;
	if (n != sizeof(*ret_message) || ret_message->magic != SASM_KEEPER_MAGIC)
		return -EPROTO;
	return 1;
}
