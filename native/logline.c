/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line format of an agent's log, written: see logline.h.
 *
 * A line is copied once, from where it was read (and, if it began in an
 * earlier read, from pending) straight into the record.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "logline.h"

static const char STREAM_NAMES[2][8] = { "stdout", "stderr" };

_Static_assert(SASM_LOGLINE_RECORD_BYTES ==
	       SASM_LOGLINE_HEADER_BYTES + SASM_LOGLINE_MAX_BYTES + 1,
	       "the longest record is header, message and newline");

void sasm_logline_init(struct sasm_logline *line, uint32_t is_stderr)
{
	line->is_stderr = is_stderr != 0;
	line->pending_bytes = 0;
}

/* Writes value as exactly `digits` decimal digits. */
static void put_digits(char *at, unsigned int digits, uint64_t value)
{
	while (digits-- > 0) {
		at[digits] = (char)('0' + value % 10);
		value /= 10;
	}
}

void sasm_logline_stamp(uint64_t realtime_ns, char *ret_stamp)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	struct tm utc;

	memcpy(ret_stamp, "0000-00-00T00:00:00.000000000Z",
	       SASM_LOGLINE_STAMP_BYTES);
	if (!gmtime_r(&seconds, &utc))
		return;
	put_digits(ret_stamp, 4, (uint64_t)utc.tm_year + 1900);
	put_digits(ret_stamp + 5, 2, (uint64_t)utc.tm_mon + 1);
	put_digits(ret_stamp + 8, 2, (uint64_t)utc.tm_mday);
	put_digits(ret_stamp + 11, 2, (uint64_t)utc.tm_hour);
	put_digits(ret_stamp + 14, 2, (uint64_t)utc.tm_min);
	put_digits(ret_stamp + 17, 2, (uint64_t)utc.tm_sec);
	put_digits(ret_stamp + 20, 9, realtime_ns % 1000000000);
}

/* One record of what is pending and `bytes` more; nothing pends after it. */
static size_t put_record(struct sasm_logline *line, const char *stamp, char tag,
			 const char *more, size_t bytes, char *output)
{
	char *at = output;

	memcpy(at, stamp, SASM_LOGLINE_STAMP_BYTES);
	at += SASM_LOGLINE_STAMP_BYTES;
	*at++ = ' ';
	memcpy(at, STREAM_NAMES[line->is_stderr], 6);
	at += 6;
	*at++ = ' ';
	*at++ = tag;
	*at++ = ' ';
	memcpy(at, line->pending, line->pending_bytes);
	at += line->pending_bytes;
	if (bytes)
		memcpy(at, more, bytes);
	at += bytes;
	*at++ = '\n';
	line->pending_bytes = 0;
	return (size_t)(at - output);
}

size_t sasm_logline_split(struct sasm_logline *line, const char *stamp,
			  const char *input, size_t input_bytes,
			  size_t *ret_consumed, char *output,
			  size_t output_bytes)
{
	size_t used = 0, at = 0;

	while (at < input_bytes) {
		size_t room = SASM_LOGLINE_MAX_BYTES - line->pending_bytes;
		/* One byte past the room: a line of just the longest length
		 * is full if its newline comes next.
		 */
		size_t span = input_bytes - at < room + 1 ? input_bytes - at :
							     room + 1;
		const char *newline = memchr(input + at, '\n', span);
		size_t take = newline ? (size_t)(newline - (input + at)) : room;

		if (!newline && span <= room) {
			memcpy(line->pending + line->pending_bytes, input + at,
			       span);
			line->pending_bytes += (uint32_t)span;
			at += span;
			break;
		}
		if (output_bytes - used < SASM_LOGLINE_HEADER_BYTES +
						  line->pending_bytes + take + 1)
			break;
		used += put_record(line, stamp, newline ? 'F' : 'P', input + at,
				   take, output + used);
		at += take + (newline ? 1 : 0);
	}
	*ret_consumed = at;
	return used;
}

size_t sasm_logline_cut(struct sasm_logline *line, const char *stamp, char tag,
			char *output)
{
	if (!line->pending_bytes)
		return 0;
	return put_record(line, stamp, tag, NULL, 0, output);
}

void sasm_logline_measure(const char *records, size_t records_bytes,
			  uint64_t *ret_payload_bytes, uint64_t *ret_lines)
{
	const char *at = records, *end = records + records_bytes;
	uint64_t payload = 0, lines = 0;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *next = newline ? newline + 1 : end;
		size_t bytes = (size_t)(next - at);

		if (newline && bytes > SASM_LOGLINE_HEADER_BYTES) {
			int is_full = at[SASM_LOGLINE_HEADER_BYTES - 2] == 'F';

			payload += bytes - SASM_LOGLINE_HEADER_BYTES -
				   (is_full ? 0 : 1);
			lines += (uint64_t)is_full;
		}
		at = next;
	}
	*ret_payload_bytes = payload;
	*ret_lines = lines;
}
