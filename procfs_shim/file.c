// SPDX-License-Identifier: Apache-2.0
/*
 * Open files: a consistent text, taken at open and read at any offset. All is
 * answered at once from memory; only `events` (stream.c) lets a reader wait.
 */
#include "procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

static void file_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct sasm_procfs *procfs = sasm_procfs_of(req);
	struct sasm_node *node = sasm_tree_find(&procfs->tree, ino);
	struct sasm_handle *handle;
	int r;

	if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC)) {
		fuse_reply_err(req, EACCES);
		return;
	}
	if (!node || !sasm_tree_has(&procfs->tree, node)) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	if (node->kind == SASM_STREAM) {
		sasm_stream_open(procfs, req, node);
		return;
	}
	r = sasm_handle_new(&procfs->handles, node, fuse_req_ctx(req)->uid, &handle);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	handle->body = node->body;
	sasm_body_take(handle->body);
	handle->tail_bytes = sasm_freshness_tail(&procfs->freshness, node, sasm_now().boot_ms,
						 handle->tail);
	/* The size says 0; without the page cache the kernel does not look at it. */
	fi->direct_io = 1;
	fi->noflush = 1; /* nothing to flush: close never fails, and asks nobody */
	sasm_reply_open(procfs, req, handle, fi);
}

static void file_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	const struct sasm_handle *handle = sasm_handle_of(fi);
	const struct sasm_body *body = handle->body;
	struct iovec parts[2] = { 0 };
	uint64_t at = (uint64_t)offset, body_left = 0, tail_at = 0, tail_left = 0;

	(void)ino; /* the handle knows */
	if (handle->node->kind == SASM_STREAM) {
		sasm_stream_read(sasm_procfs_of(req), req, sasm_handle_of(fi), size, fi->flags);
		return;
	}
	if (sasm_body_is_evicted(body)) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	if (at < body->bytes) {
		body_left = body->bytes - at;
		parts[0].iov_base = body->data + at;
	} else {
		tail_at = at - body->bytes;
	}
	if (body_left > size)
		body_left = size;
	if (tail_at < handle->tail_bytes)
		tail_left = handle->tail_bytes - tail_at;
	if (tail_left > size - body_left)
		tail_left = size - body_left;
	parts[0].iov_len = body_left;
	parts[1].iov_base = (char *)handle->tail + (tail_left ? tail_at : 0);
	parts[1].iov_len = tail_left;
	fuse_reply_iov(req, parts, 2);
}

static void file_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		    struct fuse_pollhandle *poll)
{
	struct sasm_handle *handle = sasm_handle_of(fi);

	(void)ino; /* the handle knows */
	if (handle->node->kind == SASM_STREAM) {
		sasm_stream_poll(sasm_procfs_of(req), req, handle, poll);
		return;
	}
	if (poll)
		fuse_pollhandle_destroy(poll);
	fuse_reply_poll(req, POLLIN | POLLRDNORM);
}

static void file_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct sasm_procfs *procfs = sasm_procfs_of(req);
	struct sasm_handle *handle = sasm_handle_of(fi);

	(void)ino; /* the handle knows */
	if (handle->node->kind == SASM_STREAM)
		sasm_stream_release(procfs, handle);
	sasm_handle_free(&procfs->handles, &procfs->tree, handle);
	fuse_reply_err(req, 0);
}

void sasm_file_fill(struct fuse_lowlevel_ops *operations)
{
	operations->open = file_open;
	operations->read = file_read;
	operations->poll = file_poll;
	operations->release = file_release;
}
