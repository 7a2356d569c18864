// SPDX-License-Identifier: Apache-2.0
/*
 * One thread, one poll: readers first, then the daemon. Nothing in here blocks
 * but the poll itself, and there is no timer: staleness is computed when
 * somebody opens a file.
 */
#include "loop.h"

#include "mountpoint.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* The unmount takes a millisecond; a host that swaps may need longer. */
#define UNMOUNT_TIMEOUT_MS 5000

enum source { FUSE, LISTENER, SIGNALS, UNMOUNTER, PEER, SOURCE_NUM };

static int serve_request(struct sasm_loop *loop, struct fuse_buf *buffer)
{
	int n = fuse_session_receive_buf(loop->session, buffer);

	if (n > 0)
		fuse_session_process_buf(loop->session, buffer);
	/* An abort (fusectl, umount -f) may come before the unmount that was asked for. */
	if (n == -ECONNABORTED)
		fuse_session_exit(loop->session);
	if (fuse_session_exited(loop->session))
		return -ENODEV;
	/* Short of memory the request stays queued and is asked for again. */
	return n >= 0 || n == -EAGAIN || n == -EINTR || n == -ENOMEM ? 0 : n;
}

/* Has a successor, or an operator, taken our mount away? */
static bool is_unmounted(struct fuse_session *session)
{
	struct pollfd fuse = { .fd = fuse_session_fd(session) };

	return poll(&fuse, 1, 0) == 1 && (fuse.revents & POLLERR);
}

/* Reads end, then the mount. Meanwhile requests go on being answered. */
static int begin_end(struct sasm_loop *loop)
{
	struct signalfd_siginfo info;

	if (read(loop->signals, &info, sizeof(info)) != sizeof(info))
		return 0;
	/* A dead file system's device number may be its successor's by now. */
	if (is_unmounted(loop->session))
		return -ENODEV;
	sasm_stream_end(loop->procfs);
	return sasm_unmounter_ask(loop->unmounter);
}

/* 1: unmounted. The unmounter's own end without an answer is a failure. */
static int read_answer(const struct sasm_loop *loop)
{
	unsigned char byte = 0;
	ssize_t n = recv(loop->unmounter, &byte, 1, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n != 1)
		return -EPIPE;
	return byte ? -byte : 1;
}

static int turn(struct sasm_loop *loop, struct fuse_buf *buffer, const struct pollfd *sources,
		bool *is_ending)
{
	int r = 0;

	if (sources[FUSE].revents)
		r = serve_request(loop, buffer);
	/* While ending, ENODEV is what the unmount looks like from here. */
	if (r < 0)
		return *is_ending && r == -ENODEV ? 0 : r;
	if (sources[PEER].revents && loop->procfs->peer == sources[PEER].fd)
		sasm_peer_read(loop->procfs);
	if (sources[LISTENER].revents)
		sasm_peer_accept(loop->procfs, loop->listener);
	if (sources[SIGNALS].revents && !*is_ending) {
		r = begin_end(loop);
		*is_ending = true;
	}
	if (!r && sources[UNMOUNTER].revents && *is_ending)
		r = read_answer(loop);
	return r;
}

int sasm_loop_run(struct sasm_loop *loop)
{
	struct pollfd sources[SOURCE_NUM] = {
		[FUSE] = { .fd = fuse_session_fd(loop->session), .events = POLLIN },
		[LISTENER] = { .fd = loop->listener, .events = POLLIN },
		[SIGNALS] = { .fd = loop->signals, .events = POLLIN },
		[UNMOUNTER] = { .fd = -1, .events = POLLIN },
		[PEER] = { .events = POLLIN },
	};
	struct fuse_buf buffer = { .mem = NULL }; /* libfuse allocates it once */
	bool is_ending = false;
	int r = 0;

	while (!r) {
		sources[PEER].fd = loop->procfs->peer;
		if (is_ending)
			sources[UNMOUNTER].fd = loop->unmounter;
		r = poll(sources, SOURCE_NUM, is_ending ? UNMOUNT_TIMEOUT_MS : -1);
		if (!r)
			r = -ETIMEDOUT;
		else if (r < 0)
			r = errno == EINTR ? 0 : -errno;
		else
			r = turn(loop, &buffer, sources, &is_ending);
		/* Gone from the kernel's side: do not spin on its POLLERR. */
		if (is_ending && fuse_session_exited(loop->session))
			sources[FUSE].fd = -1;
	}
	free(buffer.mem);
	return r < 0 ? r : 0;
}
