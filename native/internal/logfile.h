/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One agent's log file: append whole records, rotate, survive a full disk.
 *
 * Everything here may block on the disk, so only the drain's own thread
 * calls it. The file always consists of whole records: what a full disk cut
 * short is taken back, and a tail torn by a power cut is removed at open.
 *
 * On an error the file stays in service: what could not be written is the
 * caller's to count, and the disk is left alone for SASM_LOGFILE_RETRY_NS,
 * for one that fails slowly must not be asked once per line.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* An agent's name is at most 63 bytes (CONTRACT.md, Configuration). */
#define SASM_LOGFILE_NAME_BYTES 64
#define SASM_LOGFILE_FILES_MAX 100

/* A quarter of a second: short beside what an operator needs to free space,
 * long beside a failing write.
 */
#define SASM_LOGFILE_RETRY_NS 250000000ULL

/* How often an open file is compared with the directory: one that was
 * removed or truncated by hand is noticed within this time.
 */
#define SASM_LOGFILE_CHECK_NS 1000000000ULL

struct sasm_logfile {
	int directory_fd;	/* borrowed */
	int fd;			/* -1: not open */
	uint32_t group_id;	/* UINT32_MAX: leave the group alone */
	uint32_t files;		/* kept in all, 1 to SASM_LOGFILE_FILES_MAX */
	uint64_t max_bytes;
	uint64_t size_bytes;
	uint64_t rotations;
	uint64_t retry_ns;	/* CLOCK_MONOTONIC; meaningful with error */
	uint64_t checked_ns;
	int32_t error;		/* positive errno in force, 0: all is well */
	char name[SASM_LOGFILE_NAME_BYTES];
};

/* Opens or creates `<name>.log` and mends its tail; 0 or -errno. */
int sasm_logfile_open(struct sasm_logfile *file);

/*
 * Appends whole records, rotating between them where max_bytes asks for it.
 * Returns how many of the bytes are in the file, always whole records; less
 * than `bytes` means that file->error says why. Opens the file if needed.
 */
size_t sasm_logfile_append(struct sasm_logfile *file, const char *records,
			   size_t bytes, uint64_t monotonic_ns);

void sasm_logfile_close(struct sasm_logfile *file);
