// SPDX-License-Identifier: Apache-2.0
/*
 * The process that unmounts. It names the mount by a descriptor, not by path:
 * /proc/self/fd/N leads to this very mount, and once that is gone (a successor
 * has detached it) to EINVAL, never to the successor's mount.
 */
#include "mountpoint.h"

#include "privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int unmount(int mount_fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", mount_fd);
	/* Lazily: whoever still has a file open gets ENOTCONN, as after a crash. */
	return umount2(path, MNT_DETACH) < 0 ? errno : 0;
}

static void serve(int fd, int mount_fd, const char *path, bool remove_directory,
		  const char *socket_path)
{
	char byte;
	ssize_t n;

	do
		n = recv(fd, &byte, 1, 0);
	while (n < 0 && errno == EINTR);
	/* The end of the server without a word: the mount stays and answers
	 * ENOTCONN, until the daemon starts the next one.
	 */
	if (n != 1)
		return;
	byte = (char)unmount(mount_fd);
	unlink(socket_path);
	if (remove_directory)
		rmdir(path);
	send(fd, &byte, 1, MSG_NOSIGNAL);
}

/* The server's end decides, not a signal meant for the server. */
static void ignore_signals(void)
{
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

int sasm_unmounter_start(const char *path, bool remove_directory, const char *socket_path,
			 int fuse_fd)
{
	int mount_fd, pair[2], r;
	pid_t pid;

	/* O_PATH asks the server nothing, and it is not up yet. */
	mount_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (mount_fd < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		r = -errno;
		close(mount_fd);
		return r;
	}
	pid = fork();
	if (!pid) {
		close(fuse_fd);
		close(pair[0]);
		ignore_signals();
		prctl(PR_SET_NAME, "asm-procfs-umnt");
		sasm_privilege_keep_sys_admin();
		serve(pair[1], mount_fd, path, remove_directory, socket_path);
		_exit(0);
	}
	r = pid < 0 ? -errno : 0;
	close(mount_fd);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	return pair[0];
}

int sasm_unmounter_ask(int fd)
{
	return send(fd, "", 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}
