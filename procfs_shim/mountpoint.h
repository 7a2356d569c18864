/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mount and its end. Mounting needs root once, at the start; unmounting
 * needs it at the very end, when the server has none. So a second process
 * stays behind with CAP_SYS_ADMIN: it holds no /dev/fuse and reads nothing
 * but one byte from its socketpair.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#define SASM_MOUNT_TYPE "fuse.agentsys"

/*
 * Takes away what a dead (or hung) predecessor left mounted at `path`, without
 * asking it anything, and makes the directory if there is none. 0 or -errno.
 */
int sasm_mountpoint_prepare(const char *path, bool *ret_made);

/*
 * Mounts there and returns the connection to the kernel, a non-blocking
 * /dev/fuse, or -errno. Writable on purpose: a read-only mount would answer
 * EROFS before we can say EACCES.
 */
int sasm_mountpoint_mount(const char *path);

/*
 * The device number of our file system at `path`: its name as long as it
 * lives. Asks mountinfo, not the server. -ENOENT: none of ours is there.
 */
int sasm_mountpoint_device(const char *path, dev_t *ret_device);

/*
 * Forks the unmounter for the mount now at `path`. In the child `fuse_fd` is
 * closed: a copy would keep readers waiting for a dead server. Returns our
 * end of the socketpair, non-blocking, or -errno.
 */
int sasm_unmounter_start(const char *path, bool remove_directory, const char *socket_path,
			 int fuse_fd);

/* Asks for the end; the answer is one byte (0 = done, else an errno). */
int sasm_unmounter_ask(int fd);
