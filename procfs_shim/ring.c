// SPDX-License-Identifier: Apache-2.0
/* The ring of lines and its cursors; see ring.h. */
#include "ring.h"

#include "memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sasm_line **slot_of(const struct sasm_ring *ring, uint64_t number)
{
	return (struct sasm_line **)&ring->lines[number % SASM_RING_LINES];
}

static uint64_t oldest_of(const struct sasm_ring *ring)
{
	return ring->next > SASM_RING_LINES ? ring->next - SASM_RING_LINES : 0;
}

static void release_line(struct sasm_line *line)
{
	if (line && !--line->references)
		free(line);
}

static uint64_t hash_text(const char *text, size_t bytes)
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a, 64 bit */

	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
	return hash;
}

static bool is_in_ring(const struct sasm_ring *ring, const char *text, size_t bytes, uint64_t hash)
{
	for (uint64_t number = oldest_of(ring); number < ring->next; number++) {
		const struct sasm_line *line = *slot_of(ring, number);

		if (line && line->hash == hash && line->bytes == bytes + 1 &&
		    !memcmp(line->text, text, bytes))
			return true;
	}
	return false;
}

int sasm_ring_append(struct sasm_ring *ring, const char *text, size_t bytes, bool is_replay)
{
	struct sasm_line *line;
	uint64_t hash;

	if (bytes && text[bytes - 1] == '\n')
		bytes--;
	if (!bytes || bytes + 1 > SASM_LINE_BYTES_MAX || memchr(text, '\n', bytes))
		return -EINVAL;
	hash = hash_text(text, bytes);
	if (is_replay && is_in_ring(ring, text, bytes, hash))
		return 0;
	line = sasm_allocate(sizeof(*line) + bytes + 1);
	if (line) {
		line->references = 1;
		line->bytes = (uint32_t)bytes + 1;
		line->hash = hash;
		memcpy(line->text, text, bytes);
		line->text[bytes] = '\n';
	}
	release_line(*slot_of(ring, ring->next));
	*slot_of(ring, ring->next) = line;
	ring->next++;
	return 0;
}

void sasm_ring_clear(struct sasm_ring *ring)
{
	for (size_t i = 0; i < SASM_RING_LINES; i++) {
		release_line(ring->lines[i]);
		ring->lines[i] = NULL;
	}
}

void sasm_cursor_init(struct sasm_cursor *cursor, const struct sasm_ring *ring)
{
	memset(cursor, 0, sizeof(*cursor));
	cursor->next = oldest_of(ring);
}

void sasm_cursor_clear(struct sasm_cursor *cursor)
{
	release_line(cursor->partial);
	cursor->partial = NULL;
}

bool sasm_cursor_has_more(const struct sasm_cursor *cursor, const struct sasm_ring *ring)
{
	return cursor->partial || cursor->lost_bytes || cursor->next < ring->next;
}

/* Steps over what is gone; what was stepped over becomes a "lost" line. */
static void skip_lost(struct sasm_cursor *cursor, const struct sasm_ring *ring)
{
	uint64_t start = cursor->next;

	if (cursor->next < oldest_of(ring))
		cursor->next = oldest_of(ring);
	while (cursor->next < ring->next && !*slot_of(ring, cursor->next))
		cursor->next++;
	if (cursor->next == start)
		return;
	cursor->lost_bytes = (uint32_t)snprintf(cursor->lost, sizeof(cursor->lost),
						"{\"type\":\"lost\",\"count\":%" PRIu64 "}\n",
						cursor->next - start);
	cursor->lost_read = 0;
}

/* The line to read next, by reference to where it lives; NULL at the end. */
static const char *next_line(struct sasm_cursor *cursor, const struct sasm_ring *ring,
			     size_t *ret_bytes)
{
	if (!cursor->partial && !cursor->lost_bytes)
		skip_lost(cursor, ring);
	if (cursor->lost_bytes) {
		*ret_bytes = cursor->lost_bytes - cursor->lost_read;
		return cursor->lost + cursor->lost_read;
	}
	if (!cursor->partial && cursor->next < ring->next) {
		cursor->partial = *slot_of(ring, cursor->next++);
		cursor->partial->references++;
		cursor->partial_bytes = 0;
	}
	if (!cursor->partial)
		return NULL;
	*ret_bytes = cursor->partial->bytes - cursor->partial_bytes;
	return cursor->partial->text + cursor->partial_bytes;
}

static void advance(struct sasm_cursor *cursor, size_t bytes)
{
	if (cursor->lost_bytes) {
		cursor->lost_read += (uint32_t)bytes;
		if (cursor->lost_read == cursor->lost_bytes)
			cursor->lost_bytes = 0;
		return;
	}
	cursor->partial_bytes += (uint32_t)bytes;
	if (cursor->partial_bytes == cursor->partial->bytes)
		sasm_cursor_clear(cursor);
}

size_t sasm_cursor_read(struct sasm_cursor *cursor, const struct sasm_ring *ring, char *buffer,
			size_t size)
{
	size_t copied = 0, bytes;
	const char *text;

	while (copied < size && (text = next_line(cursor, ring, &bytes))) {
		if (bytes > size - copied) {
			if (copied)
				break;
			bytes = size;
		}
		memcpy(buffer + copied, text, bytes);
		advance(cursor, bytes);
		copied += bytes;
	}
	return copied;
}
