// SPDX-License-Identifier: Apache-2.0
/*
 * A directory's listing, encoded once as the kernel wants it and shared by all
 * readers until the directory changes. Each open directory keeps the listing
 * it started with: nobody sees a name twice or misses one that was there all
 * the time. Offsets are byte positions in it.
 */
#include "procfs.h"

#include <errno.h>
#include <linux/fuse.h>

/* Appends one entry, or only measures it when `data` is NULL. */
static size_t add(char *data, size_t bytes, size_t at, const char *name,
		  const struct sasm_node *node)
{
	struct stat st = { .st_ino = node->ino, .st_mode = sasm_mode_of(node) };
	size_t length = fuse_add_direntry(NULL, NULL, 0, name, NULL, 0);

	if (data)
		fuse_add_direntry(NULL, data + at, bytes - at, name, &st, (off_t)(at + length));
	return at + length;
}

static size_t encode(char *data, size_t bytes, struct sasm_node *directory)
{
	const struct sasm_node *node, *up = directory->parent ? directory->parent : directory;
	size_t at = 0;

	at = add(data, bytes, at, ".", directory);
	at = add(data, bytes, at, "..", up);
	LIST_FOREACH(node, &directory->children, sibling)
		at = add(data, bytes, at, node->name, node);
	return at;
}

/* A reference for the caller; NULL without memory. */
static struct sasm_body *listing_of(struct sasm_procfs *procfs, struct sasm_node *directory)
{
	struct sasm_body *listing = directory->body;

	if (!listing) {
		listing = sasm_body_new((uint32_t)encode(NULL, 0, directory));
		if (!listing)
			return NULL;
		encode(listing->data, listing->bytes, directory);
		sasm_body_adopt(&procfs->tree.store, listing);
		directory->body = listing;
	}
	sasm_body_take(listing);
	return listing;
}

static void listing_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct sasm_procfs *procfs = sasm_procfs_of(req);
	struct sasm_node *node = sasm_tree_find(&procfs->tree, ino);
	struct sasm_handle *handle;
	int r;

	if (!node || !sasm_tree_has(&procfs->tree, node)) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	r = sasm_handle_new(&procfs->handles, node, fuse_req_ctx(req)->uid, &handle);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	sasm_reply_open(procfs, req, handle, fi);
}

/*
 * Entries vary in length, and an offset may be anybody's (seekdir): go on at
 * the first entry that starts at or after it.
 */
static size_t entry_start(const struct sasm_body *listing, off_t offset)
{
	size_t at = 0;

	while (at < listing->bytes && at < (size_t)offset) {
		const struct fuse_dirent *entry = (const void *)(listing->data + at);

		at = entry->off; /* where the next one starts */
	}
	return at;
}

static void listing_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			    struct fuse_file_info *fi)
{
	struct sasm_procfs *procfs = sasm_procfs_of(req);
	struct sasm_handle *handle = sasm_handle_of(fi);
	size_t at, bytes;

	(void)ino; /* the handle knows */
	if (!offset || !handle->body) {
		/* rewinddir(3) asks for the directory as it is now. */
		sasm_body_release(&procfs->tree.store, handle->body);
		handle->body = listing_of(procfs, handle->node);
	}
	if (!handle->body || sasm_body_is_evicted(handle->body)) {
		fuse_reply_err(req, handle->body ? ESTALE : ENOMEM);
		return;
	}
	/* The kernel ignores an entry cut off at the end and asks again for it. */
	at = entry_start(handle->body, offset);
	bytes = handle->body->bytes - at;
	fuse_reply_buf(req, handle->body->data + at, bytes < size ? bytes : size);
}

static void listing_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct sasm_procfs *procfs = sasm_procfs_of(req);

	(void)ino; /* the handle knows */
	sasm_handle_free(&procfs->handles, &procfs->tree, sasm_handle_of(fi));
	fuse_reply_err(req, 0);
}

void sasm_listing_fill(struct fuse_lowlevel_ops *operations)
{
	operations->opendir = listing_opendir;
	operations->readdir = listing_readdir;
	operations->releasedir = listing_releasedir;
}
