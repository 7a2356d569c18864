/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One agent's log file: see internal/logfile.h.
 *
 * Rotation renames within the directory fd, oldest first, so that each step
 * overwrites what is to go and a crash between two steps loses no file that
 * was to stay. A rotation that fails stops the writing: max_bytes holds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal/logfile.h"
#include "logline.h"

/* "<name>.log.99" */
#define FILE_NAME_BYTES (SASM_LOGFILE_NAME_BYTES + 16)

static void file_name(const struct sasm_logfile *file, uint32_t index,
		      char *ret_name)
{
	if (index == 0)
		(void)snprintf(ret_name, FILE_NAME_BYTES, "%s.log",
			       file->name); /* fits by the sizes above */
	else
		(void)snprintf(ret_name, FILE_NAME_BYTES, "%s.log.%u",
			       file->name, index); /* likewise */
}

/* Where the last whole record of a buffer ends. */
static size_t whole_records(const char *records, size_t bytes)
{
	const char *newline = bytes ? memrchr(records, '\n', bytes) : NULL;

	return newline ? (size_t)(newline - records) + 1 : 0;
}

/*
 * A record that a power cut or a kill tore in half would glue itself to the
 * next one. Removed, because it was never counted as written; a longer tail
 * without a newline is not ours, and is only ended.
 */
static int mend_tail(struct sasm_logfile *file)
{
	char tail[SASM_LOGLINE_RECORD_BYTES];
	size_t want = file->size_bytes < sizeof(tail) ? file->size_bytes :
							sizeof(tail);
	ssize_t got;
	size_t whole;

	if (!want)
		return 0;
	got = pread(file->fd, tail, want, (off_t)(file->size_bytes - want));
	if (got < 0)
		return -errno;
	whole = whole_records(tail, (size_t)got);
	if (whole == (size_t)got)
		return 0;
	if (!whole && file->size_bytes > want) {
		if (write(file->fd, "\n", 1) != 1)
			return -EIO;
		file->size_bytes += 1;
		return 0;
	}
	file->size_bytes -= (size_t)got - whole;
	return ftruncate(file->fd, (off_t)file->size_bytes) ? -errno : 0;
}

/* Files beyond the number to keep are left from a larger setting. */
static void unlink_surplus(const struct sasm_logfile *file)
{
	char name[FILE_NAME_BYTES];
	uint32_t index;

	for (index = file->files; index < SASM_LOGFILE_FILES_MAX; index++) {
		file_name(file, index, name);
		if (unlinkat(file->directory_fd, name, 0))
			return;
	}
}

int sasm_logfile_open(struct sasm_logfile *file)
{
	char name[FILE_NAME_BYTES];
	struct stat status;
	int result;

	file_name(file, 0, name);
	/* O_NONBLOCK: should the name be a FIFO, opening must not wait. */
	file->fd = openat(file->directory_fd, name,
			  O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC |
				  O_NONBLOCK | O_NOCTTY,
			  0640);
	if (file->fd < 0)
		return -errno;
	result = -EINVAL;
	if (fstat(file->fd, &status) || !S_ISREG(status.st_mode))
		goto out;
	if ((status.st_mode & 07777) != 0640 && fchmod(file->fd, 0640))
		goto out_errno;
	if (file->group_id != UINT32_MAX &&
	    (status.st_gid != file->group_id || status.st_uid != 0) &&
	    fchown(file->fd, 0, file->group_id))
		goto out_errno;
	file->size_bytes = (uint64_t)status.st_size;
	result = mend_tail(file);
	if (result)
		goto out;
	unlink_surplus(file);
	return 0;
out_errno:
	result = -errno;
out:
	sasm_logfile_close(file);
	return result;
}

void sasm_logfile_close(struct sasm_logfile *file)
{
	if (file->fd >= 0)
		(void)close(file->fd); /* nothing is buffered that could fail */
	file->fd = -1;
}

static int rotate(struct sasm_logfile *file)
{
	char from[FILE_NAME_BYTES], to[FILE_NAME_BYTES];
	uint32_t index;

	if (file->files == 1) {
		if (ftruncate(file->fd, 0))
			return -errno;
		file->size_bytes = 0;
		file->rotations++;
		return 0;
	}
	for (index = file->files - 1; index > 0; index--) {
		file_name(file, index - 1, from);
		file_name(file, index, to);
		if (renameat(file->directory_fd, from, file->directory_fd,
			     to) && errno != ENOENT)
			return -errno;
	}
	file->rotations++;
	sasm_logfile_close(file);
	return sasm_logfile_open(file);
}

/* Was the file removed, or truncated, behind our back? */
static int check_identity(struct sasm_logfile *file, uint64_t now_ns)
{
	struct stat status;

	if (file->fd >= 0 && now_ns - file->checked_ns < SASM_LOGFILE_CHECK_NS)
		return 0;
	file->checked_ns = now_ns;
	if (file->fd >= 0) {
		if (fstat(file->fd, &status))
			return -errno;
		file->size_bytes = (uint64_t)status.st_size;
		if (status.st_nlink > 0)
			return 0;
		sasm_logfile_close(file);
	}
	return sasm_logfile_open(file);
}

/*
 * Writes whole records; *ret_kept is how much stayed, also whole records.
 * Half a record on a full disk is cut off again; shrinking needs no space.
 */
static int write_records(struct sasm_logfile *file, const char *records,
			 size_t bytes, size_t *ret_kept)
{
	size_t written = 0;
	int result = 0;

	while (written < bytes) {
		ssize_t count = write(file->fd, records + written,
				      bytes - written);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0) {
			result = count < 0 ? -errno : -EIO;
			break;
		}
		written += (size_t)count;
	}
	*ret_kept = whole_records(records, written);
	file->size_bytes += *ret_kept;
	if (*ret_kept < written &&
	    ftruncate(file->fd, (off_t)file->size_bytes))
		sasm_logfile_close(file); /* the next open mends the tail */
	return result;
}

/* The largest run of whole records that fits, or else the first record. */
static size_t next_part(const struct sasm_logfile *file, const char *records,
			size_t bytes)
{
	uint64_t room = file->max_bytes > file->size_bytes ?
				file->max_bytes - file->size_bytes :
				0;
	size_t part;

	if (bytes <= room)
		return bytes;
	part = whole_records(records, (size_t)room);
	if (!part && file->size_bytes == 0) {
		const char *newline = memchr(records, '\n', bytes);

		part = newline ? (size_t)(newline - records) + 1 : bytes;
	}
	return part;
}

size_t sasm_logfile_append(struct sasm_logfile *file, const char *records,
			   size_t bytes, uint64_t monotonic_ns)
{
	size_t done = 0;
	int result;

	if (file->error && monotonic_ns < file->retry_ns)
		return 0;
	result = check_identity(file, monotonic_ns);
	while (!result && done < bytes) {
		size_t kept = 0;
		size_t part = next_part(file, records + done, bytes - done);

		if (part)
			result = write_records(file, records + done, part,
					       &kept);
		else
			result = rotate(file);
		done += kept;
	}
	file->error = -result;
	file->retry_ns = monotonic_ns + SASM_LOGFILE_RETRY_NS;
	return done;
}
