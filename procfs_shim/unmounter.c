// SPDX-License-Identifier: Apache-2.0
/*
 * The process that unmounts, and that only what this server mounted: the file
 * system's device number tells it from a successor's, as long as the server's
 * own lives; the server looks before it asks. A descriptor held all the time
 * would tell as well, but would make the mount busy for umount(8).
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

static int unmount(const char *path, dev_t device)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char name[32];
	dev_t uppermost;
	int r;

	if (fd < 0)
		return -errno;
	/* First the descriptor, then the look: what is unmounted is what was
	 * looked at, even if a successor mounts in between.
	 */
	r = sasm_mountpoint_device(path, &uppermost);
	if (!r && uppermost != device)
		r = -EBUSY;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	/* Lazily: whoever still has a file open gets ENOTCONN, as after a crash. */
	if (!r && umount2(name, MNT_DETACH) < 0)
		r = -errno;
	close(fd);
	return r;
}

static void serve(int fd, dev_t device, const char *path, bool remove_directory,
		  const char *socket_path)
{
	char byte = 0;
	ssize_t n;

	send(fd, &byte, 1, MSG_NOSIGNAL);
	do
		n = recv(fd, &byte, 1, 0);
	while (n < 0 && errno == EINTR);
	/* The end of the server without a word: the mount stays and answers
	 * ENOTCONN, until the daemon starts the next one.
	 */
	if (n != 1)
		return;
	byte = (char)-unmount(path, device);
	if (!byte) {
		unlink(socket_path);
		if (remove_directory)
			rmdir(path);
	}
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
	int pair[2], r;
	dev_t device;
	pid_t pid;
	char byte;

	r = sasm_mountpoint_device(path, &device);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (!pid) {
		close(fuse_fd);
		close(pair[0]);
		ignore_signals();
		prctl(PR_SET_NAME, "asm-procfs-umnt");
		sasm_privilege_keep_sys_admin();
		serve(pair[1], device, path, remove_directory, socket_path);
		_exit(0);
	}
	r = pid < 0 ? -errno : 0;
	close(pair[1]);
	/* It says when it is ready; from then on only we hold /dev/fuse. */
	if (!r && recv(pair[0], &byte, 1, 0) != 1)
		r = -EPIPE;
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
