/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one state of the program, and what its parts offer each other. FUSE
 * hands it to every operation; there is one thread, so nothing is locked and
 * no operation ever waits for another.
 */
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "caller.h"
#include "handle.h"
#include "protocol.h"

struct sasm_procfs {
	struct sasm_tree tree;
	struct sasm_ring ring;
	struct sasm_freshness freshness;
	struct sasm_handles handles;
	struct sasm_caller_rules rules;
	struct sasm_parser parser;
	int peer; /* the daemon's connection, -1 = none */
	uint64_t refused_puts; /* over a bound of limits.h, this connection */
	uint32_t stream_count;
	uint32_t parked_count;
	LIST_HEAD(, sasm_handle) streams;
};

struct sasm_when sasm_now(void);

static inline struct sasm_procfs *sasm_procfs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct sasm_handle *sasm_handle_of(const struct fuse_file_info *fi)
{
	return (struct sasm_handle *)(uintptr_t)fi->fh;
}

/* fs.c: the operations, for fuse_session_new(). */
const struct fuse_lowlevel_ops *sasm_fs_operations(void);
mode_t sasm_mode_of(const struct sasm_node *node);

/* Answers an open; frees the handle if the caller is gone, for then no release
 * will come.
 */
void sasm_reply_open(struct sasm_procfs *procfs, fuse_req_t req, struct sasm_handle *handle,
		     struct fuse_file_info *fi);

/* Each file's share of the operations. */
void sasm_listing_fill(struct fuse_lowlevel_ops *operations); /* listing.c */
void sasm_file_fill(struct fuse_lowlevel_ops *operations); /* file.c */
void sasm_deny_fill(struct fuse_lowlevel_ops *operations); /* deny.c: EACCES */

/* stream.c: `events`. Each answers req. */
void sasm_stream_open(struct sasm_procfs *procfs, fuse_req_t req, struct sasm_node *node);
void sasm_stream_read(struct sasm_procfs *procfs, fuse_req_t req, struct sasm_handle *handle,
		      size_t size, int flags);
void sasm_stream_poll(struct sasm_procfs *procfs, fuse_req_t req, struct sasm_handle *handle,
		      struct fuse_pollhandle *poll);
void sasm_stream_release(struct sasm_procfs *procfs, struct sasm_handle *handle);

/* Answers whoever waits for lines that are now there. */
void sasm_stream_wake(struct sasm_procfs *procfs);

/* Ends every parked read: 0 bytes, the end of the stream. */
void sasm_stream_end(struct sasm_procfs *procfs);

/* peer.c: the daemon's side. Descriptor or -errno. */
int sasm_peer_listen(const char *path);
void sasm_peer_accept(struct sasm_procfs *procfs, int listener);
void sasm_peer_read(struct sasm_procfs *procfs);
void sasm_peer_close(struct sasm_procfs *procfs);
