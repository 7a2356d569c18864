/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files: what each reader took at open, and how many each uid has.
 *
 * A handle of a file holds the body of that moment and the tail that was true
 * then, so every read of it sees one consistent text, whatever happens to the
 * node meanwhile. A handle of `events` holds a place in the ring instead, and
 * the reads that wait there.
 */
#pragma once

#include "freshness.h"
#include "ring.h"

#include <sys/types.h>

struct sasm_parked;
struct fuse_pollhandle;

struct sasm_handle {
	struct sasm_node *node;
	uid_t uid;
	struct sasm_body *body; /* file or listing; NULL for `events` */
	uint32_t tail_bytes;
	char tail[SASM_TAIL_BYTES];
	/* `events` only (stream.c): */
	struct sasm_cursor cursor;
	struct fuse_pollhandle *poll; /* to be told of the next line */
	TAILQ_HEAD(, sasm_parked) parked; /* reads that wait, oldest first */
	LIST_ENTRY(sasm_handle) streams;
	LIST_ENTRY(sasm_handle) all;
};

#define SASM_HOLDER_BUCKETS 256

struct sasm_holder {
	uid_t uid;
	uint32_t handle_count;
	LIST_ENTRY(sasm_holder) bucket;
};

struct sasm_handles {
	LIST_HEAD(, sasm_handle) all;
	LIST_HEAD(, sasm_holder) holders[SASM_HOLDER_BUCKETS];
};

/* Opens the node. -EMFILE: this uid has its share; -ENOMEM. */
int sasm_handle_new(struct sasm_handles *handles, struct sasm_node *node, uid_t uid,
		    struct sasm_handle **ret_handle);
void sasm_handle_free(struct sasm_handles *handles, struct sasm_tree *tree,
		      struct sasm_handle *handle);
