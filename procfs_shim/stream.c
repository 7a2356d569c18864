// SPDX-License-Identifier: Apache-2.0
/*
 * `events`: a stream of JSON lines for operators. Each reader starts with what
 * the ring holds and then waits. A reader that waits is a parked request; the
 * kernel can neither kill nor freeze its task until we have answered, so an
 * INTERRUPT is answered EINTR on the spot.
 *
 * FOPEN_STREAM: the file has no position, so the kernel takes no position lock.
 * With one, a second reader of a shared descriptor would sleep on that lock,
 * where no signal reaches it. libfuse has no field for the flag (3.14), hence
 * the reply by hand.
 */
#include "procfs.h"

#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdlib.h>

/* NGROUPS_MAX is 65,536, but nobody is in that many: the rest is not seen,
 * and an operator among them refused.
 */
#define GROUPS_MAX 1024

struct sasm_parked {
	struct sasm_procfs *procfs;
	struct sasm_handle *handle;
	fuse_req_t req;
	size_t size;
	TAILQ_ENTRY(sasm_parked) queue;
};

static bool is_operator(const struct sasm_procfs *procfs, fuse_req_t req)
{
	static gid_t groups[GROUPS_MAX]; /* one thread */
	const struct fuse_ctx *context = fuse_req_ctx(req);
	int count = 0;

	if (context->pid <= 0)
		return false;
	if (context->uid != 0)
		count = fuse_req_getgroups(req, GROUPS_MAX, groups);
	if (count < 0)
		count = 0;
	if (count > GROUPS_MAX)
		count = GROUPS_MAX;
	return sasm_caller_is_operator(&procfs->rules, context->pid, context->uid, context->gid,
				       groups, count);
}

void sasm_stream_open(struct sasm_procfs *procfs, fuse_req_t req, struct sasm_node *node)
{
	struct fuse_open_out reply = {
		.open_flags = FOPEN_DIRECT_IO | FOPEN_STREAM | FOPEN_NONSEEKABLE | FOPEN_NOFLUSH,
	};
	struct sasm_handle *handle;
	int r = 0;

	if (!is_operator(procfs, req))
		r = -EACCES;
	else if (procfs->stream_count >= SASM_STREAMS_MAX)
		r = -ENFILE;
	else
		r = sasm_handle_new(&procfs->handles, node, fuse_req_ctx(req)->uid, &handle);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	sasm_cursor_init(&handle->cursor, &procfs->ring);
	LIST_INSERT_HEAD(&procfs->streams, handle, streams);
	procfs->stream_count++;
	reply.fh = (uintptr_t)handle;
	if (fuse_reply_buf(req, (const char *)&reply, sizeof(reply)) < 0) {
		sasm_stream_release(procfs, handle);
		sasm_handle_free(&procfs->handles, &procfs->tree, handle);
	}
}

/* Answers with what there is. Lines of a reader that was killed meanwhile are
 * gone with it.
 */
static void reply_lines(struct sasm_procfs *procfs, struct sasm_handle *handle, fuse_req_t req,
			size_t size)
{
	static char buffer[SASM_LINE_BYTES_MAX]; /* one thread */
	size_t bytes;

	if (size > sizeof(buffer))
		size = sizeof(buffer);
	bytes = sasm_cursor_read(&handle->cursor, &procfs->ring, buffer, size);
	fuse_reply_buf(req, buffer, bytes);
}

static fuse_req_t unpark(struct sasm_parked *parked)
{
	fuse_req_t req = parked->req;

	TAILQ_REMOVE(&parked->handle->parked, parked, queue);
	parked->procfs->parked_count--;
	free(parked);
	return req;
}

/* Called by libfuse from within fuse_session_process_buf(), or at once from
 * fuse_req_interrupt_func() if the INTERRUPT came first.
 */
static void on_interrupt(fuse_req_t req, void *data)
{
	(void)req; /* the same as parked->req */
	fuse_reply_err(unpark(data), EINTR);
}

void sasm_stream_read(struct sasm_procfs *procfs, fuse_req_t req, struct sasm_handle *handle,
		      size_t size, int flags)
{
	struct sasm_parked *parked = NULL;

	if (!size || sasm_cursor_has_more(&handle->cursor, &procfs->ring)) {
		reply_lines(procfs, handle, req, size);
		return;
	}
	if (flags & O_NONBLOCK) {
		fuse_reply_err(req, EAGAIN);
		return;
	}
	if (procfs->parked_count < SASM_PARKED_MAX)
		parked = sasm_allocate(sizeof(*parked));
	if (!parked) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*parked = (struct sasm_parked){
		.procfs = procfs, .handle = handle, .req = req, .size = size,
	};
	TAILQ_INSERT_TAIL(&handle->parked, parked, queue);
	procfs->parked_count++;
	/* Last: it may answer and free. */
	fuse_req_interrupt_func(req, on_interrupt, parked);
}

void sasm_stream_poll(struct sasm_procfs *procfs, fuse_req_t req, struct sasm_handle *handle,
		      struct fuse_pollhandle *poll)
{
	unsigned int events = 0;

	if (poll) {
		if (handle->poll)
			fuse_pollhandle_destroy(handle->poll);
		handle->poll = poll;
	}
	if (sasm_cursor_has_more(&handle->cursor, &procfs->ring))
		events = POLLIN | POLLRDNORM;
	fuse_reply_poll(req, events);
}

void sasm_stream_release(struct sasm_procfs *procfs, struct sasm_handle *handle)
{
	while (!TAILQ_EMPTY(&handle->parked))
		fuse_reply_err(unpark(TAILQ_FIRST(&handle->parked)), EBADF);
	if (handle->poll)
		fuse_pollhandle_destroy(handle->poll);
	handle->poll = NULL;
	LIST_REMOVE(handle, streams);
	procfs->stream_count--;
}

static void tell_poller(struct sasm_handle *handle)
{
	if (!handle->poll)
		return;
	/* The kernel only wakes the poller, which asks again: no lock is taken
	 * that a request to us could hold.
	 */
	fuse_lowlevel_notify_poll(handle->poll);
	fuse_pollhandle_destroy(handle->poll);
	handle->poll = NULL;
}

void sasm_stream_wake(struct sasm_procfs *procfs)
{
	struct sasm_handle *handle;

	LIST_FOREACH(handle, &procfs->streams, streams) {
		while (!TAILQ_EMPTY(&handle->parked) &&
		       sasm_cursor_has_more(&handle->cursor, &procfs->ring)) {
			size_t size = TAILQ_FIRST(&handle->parked)->size;
			fuse_req_t req = unpark(TAILQ_FIRST(&handle->parked));

			reply_lines(procfs, handle, req, size);
		}
		if (sasm_cursor_has_more(&handle->cursor, &procfs->ring))
			tell_poller(handle);
	}
}

void sasm_stream_end(struct sasm_procfs *procfs)
{
	struct sasm_handle *handle;

	LIST_FOREACH(handle, &procfs->streams, streams) {
		while (!TAILQ_EMPTY(&handle->parked))
			fuse_reply_buf(unpark(TAILQ_FIRST(&handle->parked)), NULL, 0);
		tell_poller(handle);
	}
}
