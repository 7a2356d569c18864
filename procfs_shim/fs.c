// SPDX-License-Identifier: Apache-2.0
/*
 * Names and what they stand for: look up, describe, follow; and the table of
 * all operations. Each answers exactly once. A failed answer means that the
 * caller was killed meanwhile, or the mount is gone: nobody's business any
 * more, except for open (sasm_reply_open).
 *
 * ESTALE for a node that is gone makes the kernel look the path up once more
 * (vfs retries with LOOKUP_REVAL), so that a cached name opens either what is
 * there now or answers ENOENT.
 */
#include "procfs.h"

#include <errno.h>
#include <unistd.h>
#include <string.h>
#include <time.h>

/*
 * How long the kernel may remember a name and its attributes. The files of the
 * root are always the same few; agents come and go, and nothing of them is
 * remembered.
 */
#define ROOT_TIMEOUT_S 1.0
#define AGENT_TIMEOUT_S 0.0

struct sasm_when sasm_now(void)
{
	struct sasm_when when = { .connection = 0 };
	struct timespec boot;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_REALTIME, &when.wall);
	when.boot_ms = boot.tv_sec * 1000 + boot.tv_nsec / 1000000;
	return when;
}

mode_t sasm_mode_of(const struct sasm_node *node)
{
	switch (node->kind) {
	case SASM_DIRECTORY:
		return S_IFDIR | 0555;
	case SASM_LINK:
		return S_IFLNK | 0777;
	default:
		return S_IFREG | 0444;
	}
}

void sasm_reply_open(struct sasm_procfs *procfs, fuse_req_t req, struct sasm_handle *handle,
		     struct fuse_file_info *fi)
{
	fi->fh = (uintptr_t)handle;
	if (fuse_reply_open(req, fi) < 0)
		sasm_handle_free(&procfs->handles, &procfs->tree, handle);
}

static double timeout_of(const struct sasm_procfs *procfs, const struct sasm_node *node)
{
	bool is_root = node == procfs->tree.root;

	return is_root || node->parent == procfs->tree.root ? ROOT_TIMEOUT_S : AGENT_TIMEOUT_S;
}

static void describe(const struct sasm_procfs *procfs, const struct sasm_node *node,
		     struct stat *st)
{
	memset(st, 0, sizeof(*st)); /* uid, gid and size 0, as in /proc */
	st->st_ino = node->ino;
	st->st_mode = sasm_mode_of(node);
	st->st_nlink = sasm_tree_has(&procfs->tree, node);
	if (node->kind == SASM_DIRECTORY)
		st->st_nlink = 2 + node->directory_count;
	if (node->kind == SASM_LINK)
		st->st_size = node->body->bytes;
	st->st_atim = st->st_mtim = st->st_ctim = node->changed;
}

static void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct sasm_procfs *procfs = sasm_procfs_of(req);
	struct sasm_node *directory = sasm_tree_find(&procfs->tree, parent);
	struct fuse_entry_param entry = { 0 };
	struct sasm_node *node = NULL;

	if (directory && sasm_tree_has(&procfs->tree, directory))
		node = sasm_tree_child(&procfs->tree, directory, name);
	if (!node) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	entry.ino = node->ino;
	entry.attr_timeout = entry.entry_timeout = timeout_of(procfs, node);
	describe(procfs, node, &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct sasm_procfs *procfs = sasm_procfs_of(req);
	const struct sasm_node *node = sasm_tree_find(&procfs->tree, ino);
	struct stat st;

	(void)fi; /* a handle keeps its node findable */
	if (!node) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	describe(procfs, node, &st);
	fuse_reply_attr(req, &st, timeout_of(procfs, node));
}

static void fs_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	const struct sasm_node *node = sasm_tree_find(&sasm_procfs_of(req)->tree, ino);
	int error = 0;

	if (!node)
		error = ESTALE;
	else if ((mask & W_OK) || ((mask & X_OK) && node->kind != SASM_DIRECTORY))
		error = EACCES;
	fuse_reply_err(req, error);
}

static void fs_readlink(fuse_req_t req, fuse_ino_t ino)
{
	const struct sasm_node *node = sasm_tree_find(&sasm_procfs_of(req)->tree, ino);
	char target[SASM_NAME_BYTES_MAX + 1];

	if (!node || node->kind != SASM_LINK) {
		fuse_reply_err(req, node ? EINVAL : ESTALE);
		return;
	}
	memcpy(target, node->body->data, node->body->bytes);
	target[node->body->bytes] = '\0';
	fuse_reply_readlink(req, target);
}

const struct fuse_lowlevel_ops *sasm_fs_operations(void)
{
	static struct fuse_lowlevel_ops operations = {
		.lookup = fs_lookup,
		.getattr = fs_getattr,
		.access = fs_access,
		.readlink = fs_readlink,
	};

	/* No ioctl, no getxattr: ENOSYS tells the kernel not to ask again. No
	 * forget: numbers are never used twice, so there is nothing that we keep
	 * for the kernel.
	 */
	sasm_listing_fill(&operations);
	sasm_file_fill(&operations);
	sasm_deny_fill(&operations);
	return &operations;
}
