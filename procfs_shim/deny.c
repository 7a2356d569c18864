// SPDX-License-Identifier: Apache-2.0
/*
 * The tree is for looking. A read-only mount would answer EROFS; /proc answers
 * EACCES, and so do we, also to root (the kernel does not check modes here:
 * the mount is without default_permissions, which saves a request per open).
 */
#include "procfs.h"

#include <errno.h>

static void deny(fuse_req_t req)
{
	fuse_reply_err(req, EACCES);
}

static void deny_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
			 struct fuse_file_info *fi)
{
	(void)ino, (void)attr, (void)to_set, (void)fi; /* denied unread */
	deny(req);
}

static void deny_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
	(void)parent, (void)name, (void)mode, (void)dev; /* denied unread */
	deny(req);
}

static void deny_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	(void)parent, (void)name, (void)mode; /* denied unread */
	deny(req);
}

static void deny_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent, (void)name; /* denied unread */
	deny(req);
}

static void deny_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	(void)link, (void)parent, (void)name; /* denied unread */
	deny(req);
}

static void deny_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
			const char *newname, unsigned int flags)
{
	(void)parent, (void)name, (void)newparent, (void)newname, (void)flags; /* denied unread */
	deny(req);
}

static void deny_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	(void)ino, (void)newparent, (void)newname; /* denied unread */
	deny(req);
}

static void deny_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
			struct fuse_file_info *fi)
{
	(void)parent, (void)name, (void)mode, (void)fi; /* denied unread */
	deny(req);
}

static void deny_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	(void)ino, (void)buf, (void)size, (void)off, (void)fi; /* denied unread */
	deny(req);
}

static void deny_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
			  size_t size, int flags)
{
	(void)ino, (void)name, (void)value, (void)size, (void)flags; /* denied unread */
	deny(req);
}

static void deny_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	(void)ino, (void)name; /* denied unread */
	deny(req);
}

static void deny_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
			   struct fuse_file_info *fi)
{
	(void)ino, (void)mode, (void)offset, (void)length, (void)fi; /* denied unread */
	deny(req);
}

void sasm_deny_fill(struct fuse_lowlevel_ops *operations)
{
	operations->setattr = deny_setattr;
	operations->mknod = deny_mknod;
	operations->mkdir = deny_mkdir;
	operations->unlink = deny_unlink;
	operations->rmdir = deny_unlink;
	operations->symlink = deny_symlink;
	operations->rename = deny_rename;
	operations->link = deny_link;
	operations->create = deny_create;
	operations->write = deny_write;
	operations->setxattr = deny_setxattr;
	operations->removexattr = deny_removexattr;
	operations->fallocate = deny_fallocate;
}
