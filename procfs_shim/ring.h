/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last SASM_RING_LINES lines of `events` and the places where readers
 * stand in them. Knows no FUSE.
 *
 * Lines are numbered from 0. A reader that falls behind the oldest kept line
 * is told by one line {"type":"lost","count":N} and goes on with the oldest;
 * a line of which it has read a part is kept for it to the end.
 */
#pragma once

#include "limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sasm_line {
	uint32_t references;
	uint32_t bytes;
	uint64_t hash;
	char text[];
};

struct sasm_ring {
	uint64_t next; /* number of the line to come */
	struct sasm_line *lines[SASM_RING_LINES]; /* NULL: lost for want of memory */
};

struct sasm_cursor {
	uint64_t next; /* number of the line to read next */
	struct sasm_line *partial; /* the line of which a part was read */
	uint32_t partial_bytes; /* that part */
	char lost[48]; /* a "lost" line on its way out … */
	uint32_t lost_bytes; /* … its length, 0 = none … */
	uint32_t lost_read; /* … and what was read of it */
};

/*
 * Adds one line; a final newline is added if missing. With `is_replay`, a line
 * that is in the ring already is left out: a daemon that comes back sends its
 * history again. -EINVAL: empty, too long, or several lines. Without memory
 * the line counts as lost, and 0 is returned.
 */
int sasm_ring_append(struct sasm_ring *ring, const char *text, size_t bytes, bool is_replay);
void sasm_ring_clear(struct sasm_ring *ring);

/* A place before the oldest kept line. */
void sasm_cursor_init(struct sasm_cursor *cursor, const struct sasm_ring *ring);
void sasm_cursor_clear(struct sasm_cursor *cursor);

bool sasm_cursor_has_more(const struct sasm_cursor *cursor, const struct sasm_ring *ring);

/*
 * Moves on by at most `size` bytes and returns how many were copied: whole
 * lines, or a part of one that does not fit at all.
 */
size_t sasm_cursor_read(struct sasm_cursor *cursor, const struct sasm_ring *ring, char *buffer,
			size_t size);
