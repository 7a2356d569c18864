/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every bound of asm-procfs, with its reason. A new allocation that somebody
 * else can cause belongs here first.
 */
#pragma once

/* NAME_MAX of every file system, and what name_length of a frame may say. */
#define SASM_NAME_BYTES_MAX 255

/* "agents/100/status" needs three; each file can imply this many directories
 * at most, so 12,288 files are at most 36,864 directories.
 */
#define SASM_DEPTH_MAX 4

/* Files and links: 2,000 agents with five names each. */
#define SASM_FILES_MAX 12288

/* `telemetry` with 2,000 agents takes about 1 MiB. */
#define SASM_BODY_BYTES_MAX (8u << 20)

/* All current bodies together; 12,288 files of 4 KiB are 48 MiB. */
#define SASM_CURRENT_BYTES_MAX (256u << 20)

/*
 * All bodies that only open files still hold. Whoever keeps files open for
 * minutes would pin one body per update and file; past this bound the oldest
 * are taken away and their readers get ESTALE. Ordinary readers are done
 * within a millisecond.
 */
#define SASM_SUPERSEDED_BYTES_MAX (64u << 20)

/* Open files of one uid other than 0: RLIMIT_NOFILE's usual soft limit. */
#define SASM_HANDLES_PER_UID_MAX 1024

/* Lines kept for those who open `events` later: the daemon's own ring. */
#define SASM_RING_LINES 1024

/* One line of `events`, newline included; also the most that one read gets. */
#define SASM_LINE_BYTES_MAX (64u << 10)

/* Open `events` files, and reads parked on them: operators only. */
#define SASM_STREAMS_MAX 256
#define SASM_PARKED_MAX 1024

/* No TICK for this long means stale: two missed ones and some jitter. */
#define SASM_STALE_AFTER_MS 2500

/* What one turn of the loop takes from the daemon before it looks at readers
 * again: a reader waits at most for parsing this much (about 0.1 ms).
 */
#define SASM_PEER_TURN_BYTES (256u << 10)
