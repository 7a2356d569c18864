/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line format of an agent's log, written.
 *
 * One record per line, the shape that container runtimes use (CRI):
 *
 *	2026-11-21T11:13:48.123456789Z stdout F message\n
 *
 * The tag says how to rebuild the agent's exact bytes: F (full) stands for
 * the message and a newline, P (partial) for the message alone. A message
 * holds any byte but the newline, and at most SASM_LOGLINE_MAX_BYTES.
 * supervisord_asm/core/logline.py is the same format, read.
 *
 * Pure: bytes in, bytes out; no clock, no file. Where a P record is cut
 * depends on the bytes only, never on how they were read; except where
 * sasm_logline_cut() is called.
 *
 * Declarations only: this file is included and given to cffi's cdef.
 */

/* 16 KiB is what container runtimes cut at; one page cache batch, and small
 * enough that every stream may own a buffer of it.
 */
#define SASM_LOGLINE_MAX_BYTES 16384

/* "2026-11-21T11:13:48.123456789Z", without a NUL. */
#define SASM_LOGLINE_STAMP_BYTES 30

/* The stamp, " stdout", " F" and " ": both stream names have six letters. */
#define SASM_LOGLINE_HEADER_BYTES 40

/* The longest record, its newline included. */
#define SASM_LOGLINE_RECORD_BYTES 16425

/* One stream's splitter: what has come since the last record. */
struct sasm_logline {
	uint32_t is_stderr;
	uint32_t pending_bytes;
	char pending[SASM_LOGLINE_MAX_BYTES];
};

/* Starts with nothing pending; leaves the buffer itself untouched. */
void sasm_logline_init(struct sasm_logline *line, uint32_t is_stderr);

/* Writes the SASM_LOGLINE_STAMP_BYTES of a time (64 bits: the years 1970 to 2554). */
void sasm_logline_stamp(uint64_t realtime_ns, char *ret_stamp);

/*
 * Turns input into records. Returns the bytes put into output and stores in
 * *ret_consumed how much of input was taken: less than input_bytes when the
 * output is full; call again with the rest. What has no newline yet stays
 * pending. output_bytes >= SASM_LOGLINE_RECORD_BYTES guarantees progress.
 */
size_t sasm_logline_split(struct sasm_logline *line, const char *stamp,
			  const char *input, size_t input_bytes,
			  size_t *ret_consumed, char *output,
			  size_t output_bytes);

/*
 * Ends what is pending as one record, tag 'P' or 'F'; returns its bytes, 0
 * if nothing was pending. output holds SASM_LOGLINE_RECORD_BYTES.
 */
size_t sasm_logline_cut(struct sasm_logline *line, const char *stamp, char tag,
			char *output);

/*
 * What whole records stand for: the agent's bytes, and how many of them are
 * full lines.
 */
void sasm_logline_measure(const char *records, size_t records_bytes,
			  uint64_t *ret_payload_bytes, uint64_t *ret_lines);
