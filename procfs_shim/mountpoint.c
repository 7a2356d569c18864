// SPDX-License-Identifier: Apache-2.0
/*
 * Sources: proc_pid_mountinfo(5): field 5 is the mount point with octal
 * escapes, the type follows " - ". stat(2) would ask the server behind a
 * mount, and hang with it: mountinfo asks nobody.
 */
#include "mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* "\040" and its like, in place. */
static void unescape(char *text)
{
	char *to = text;

	while (*text) {
		if (text[0] == '\\' && strspn(text + 1, "01234567") >= 3) {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
				       (text[3] - '0'));
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

/* One line of mountinfo; cuts it up. True if a mount of ours is at `path`. */
static bool is_our_mount(char *line, const char *path, dev_t *ret_device)
{
	char *type = strstr(line, " - "), *field = line;
	unsigned int major_number, minor_number;

	if (!type || strncmp(type + 3, SASM_MOUNT_TYPE " ", sizeof(SASM_MOUNT_TYPE)) ||
	    sscanf(line, "%*d %*d %u:%u", &major_number, &minor_number) != 2)
		return false;
	for (int i = 0; i < 4 && field; i++) {
		field = strchr(field, ' ');
		field += !!field;
	}
	if (!field)
		return false;
	field[strcspn(field, " ")] = '\0';
	unescape(field);
	if (strcmp(field, path))
		return false;
	*ret_device = makedev(major_number, minor_number);
	return true;
}

/*
 * How many of ours are mounted there, one over the other, and the device of
 * the uppermost; or -errno.
 */
static int scan_mounts(const char *path, dev_t *ret_device)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	size_t size = 0;
	char *line = NULL;
	int count = 0;

	if (!file)
		return -errno;
	while (getline(&line, &size, file) > 0)
		count += is_our_mount(line, path, ret_device);
	free(line);
	fclose(file);
	return count;
}

/* The absolute name without asking about the last component. */
static int resolve(const char *path, char *ret_path)
{
	char parent[PATH_MAX], resolved[PATH_MAX];
	const char *name = strrchr(path, '/');
	int n;

	if (*path != '/' || !name[1] || strlen(path) >= sizeof(parent))
		return -EINVAL;
	memcpy(parent, path, (size_t)(name - path));
	parent[name - path] = '\0';
	if (!realpath(*parent ? parent : "/", resolved))
		return -errno;
	n = snprintf(ret_path, PATH_MAX, "%s%s", strcmp(resolved, "/") ? resolved : "", name);
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int sasm_mountpoint_prepare(const char *path, bool *ret_made)
{
	char resolved[PATH_MAX];
	struct stat st;
	dev_t device;
	int r = resolve(path, resolved), mounts;

	if (r < 0)
		return r;
	mounts = scan_mounts(resolved, &device);
	if (mounts < 0)
		return mounts;
	for (; mounts; mounts--)
		if (umount2(resolved, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return -errno;
	/* Somebody else's dead FUSE mount in our place: away with it as well. */
	if (stat(resolved, &st) < 0 && errno == ENOTCONN &&
	    umount2(resolved, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		return -errno;
	*ret_made = !mkdir(resolved, 0755);
	return *ret_made || errno == EEXIST ? 0 : -errno;
}

int sasm_mountpoint_mount(const char *path)
{
	char options[96];
	int fd, r;

	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
		 fd);
	if (mount("agentsys", path, SASM_MOUNT_TYPE, MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME,
		  options) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

int sasm_mountpoint_device(const char *path, dev_t *ret_device)
{
	char resolved[PATH_MAX];
	dev_t device;
	int r = resolve(path, resolved);

	if (!r)
		r = scan_mounts(resolved, &device);
	if (r > 0)
		*ret_device = device;
	return r > 0 ? 0 : r < 0 ? r : -ENOENT;
}
