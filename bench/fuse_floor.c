// SPDX-License-Identifier: Apache-2.0
/*
 * The least that a FUSE server can do: one file, `status`, of BYTES bytes,
 * copied at open and served from memory; libfuse's own loop, one thread, every
 * timeout one second. What asm-procfs is measured against (fuse_read.py).
 *
 *	fuse_floor MOUNTPOINT BYTES
 *
 * Ends, and unmounts, on SIGTERM.
 */
#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_INO 2
#define TIMEOUT_S 1.0

static char *content;
static size_t content_bytes;

static int describe(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0444;
	st->st_nlink = ino == FUSE_ROOT_ID ? 2 : 1;
	return ino > STATUS_INO ? ENOENT : 0;
}

static void floor_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi; /* one file */
	if (describe(ino, &st))
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_attr(req, &st, TIMEOUT_S);
}

static void floor_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = { .ino = STATUS_INO };

	if (parent != FUSE_ROOT_ID || strcmp(name, "status")) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	entry.attr_timeout = entry.entry_timeout = TIMEOUT_S;
	describe(STATUS_INO, &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void floor_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	char *copy = malloc(content_bytes);

	(void)ino; /* one file */
	if (!copy) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	memcpy(copy, content, content_bytes);
	fi->direct_io = 1;
	fi->fh = (uintptr_t)copy;
	fuse_reply_open(req, fi);
}

static void floor_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	const char *copy = (const char *)(uintptr_t)fi->fh;
	size_t left = (size_t)offset < content_bytes ? content_bytes - (size_t)offset : 0;

	(void)ino; /* one file */
	fuse_reply_buf(req, copy + offset, left < size ? left : size);
}

static void floor_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino; /* one file */
	free((void *)(uintptr_t)fi->fh);
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops operations = {
	.getattr = floor_getattr,
	.lookup = floor_lookup,
	.open = floor_open,
	.read = floor_read,
	.release = floor_release,
};

int main(int argc, char **argv)
{
	char *options[] = { argv[0], (char *)"-ofsname=fuse_floor,ro,allow_other", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(2, options);
	struct fuse_session *session;
	int r;

	if (argc != 3)
		return 2;
	content_bytes = strtoul(argv[2], NULL, 10);
	content = malloc(content_bytes + 1);
	if (!content)
		return 1;
	memset(content, 'x', content_bytes);
	session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	if (!session || fuse_set_signal_handlers(session) || fuse_session_mount(session, argv[1]))
		return 1;
	r = fuse_session_loop(session);
	fuse_session_unmount(session);
	fuse_remove_signal_handlers(session);
	fuse_session_destroy(session);
	free(content);
	return r < 0;
}
