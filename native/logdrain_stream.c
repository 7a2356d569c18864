/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the draining thread does with one stream, one run: read, write, cut,
 * end. Nothing here waits for a pipe; logdrain_loop.c decides whose turn it
 * is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "internal/logdrain_parts.h"

#define NS_PER_MS 1000000ULL

/* A pipe of 1 MiB, and what its writer adds meanwhile: the bound of what is
 * taken from a pipe that is about to be closed with its writer alive.
 */
#define LAST_BYTES_MAX (2U << 20)

static void read_stamp(char *ret_stamp)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
	sasm_logline_stamp((uint64_t)now.tv_sec * 1000000000 +
				   (uint64_t)now.tv_nsec,
			   ret_stamp);
}

static void unlink_pending(struct sasm_logdrain *drain, struct stream *stream)
{
	if (!stream->is_pending)
		return;
	if (stream->pending_previous)
		stream->pending_previous->pending_next = stream->pending_next;
	else
		drain->pending_first = stream->pending_next;
	if (stream->pending_next)
		stream->pending_next->pending_previous =
			stream->pending_previous;
	else
		drain->pending_last = stream->pending_previous;
	stream->is_pending = false;
}

/* Keeps the list in the order of the last read: all wait equally long. */
static void relink_pending(struct sasm_logdrain *drain, struct stream *stream)
{
	if (!stream->is_pending)
		stream->pending_ns = stream->read_ns;
	unlink_pending(drain, stream);
	if (!stream->line)
		return;
	stream->pending_previous = drain->pending_last;
	stream->pending_next = NULL;
	if (drain->pending_last)
		drain->pending_last->pending_next = stream;
	else
		drain->pending_first = stream;
	drain->pending_last = stream;
	stream->is_pending = true;
}

void sasm_logdrain_cut_stream(struct sasm_logdrain *drain, struct stream *stream,
			char tag)
{
	char stamp[SASM_LOGLINE_STAMP_BYTES];

	unlink_pending(drain, stream);
	if (!stream->line)
		return;
	read_stamp(stamp);
	sasm_logdrain_write(drain, stream->run->agent,
		     sasm_logline_cut(stream->line, stamp, tag,
				      drain->output));
	free(stream->line);
	stream->line = NULL;
}

/*
 * Gives the stream a splitter of its own while something is pending, and only
 * then. Without memory for one, what is pending ends as a part of its line.
 */
static void keep_pending(struct sasm_logdrain *drain, struct stream *stream,
			 const char *stamp)
{
	size_t used = offsetof(struct sasm_logline, pending);

	if (stream->line) {
		if (stream->line->pending_bytes)
			return;
		free(stream->line);
		stream->line = NULL;
		return;
	}
	if (!drain->line.pending_bytes)
		return;
	stream->line = malloc(sizeof(*stream->line));
	if (stream->line)
		memcpy(stream->line, &drain->line,
		       used + drain->line.pending_bytes);
	else
		sasm_logdrain_write(drain, stream->run->agent,
				    sasm_logline_cut(&drain->line, stamp, 'P',
						     drain->output));
}

static void write_input(struct sasm_logdrain *drain, struct stream *stream,
			size_t bytes)
{
	char stamp[SASM_LOGLINE_STAMP_BYTES];
	struct sasm_logline *line = stream->line;
	size_t done = 0;

	if (!line) {
		line = &drain->line;
		sasm_logline_init(line, stream->is_stderr);
	}
	read_stamp(stamp);
	while (done < bytes) {
		size_t consumed;
		size_t output = sasm_logline_split(
			line, stamp, drain->input + done,
			bytes - done, &consumed, drain->output, OUTPUT_BYTES);

		done += consumed;
		sasm_logdrain_write(drain, stream->run->agent, output);
	}
	keep_pending(drain, stream, stamp);
}

/*
 * One read. Returns the bytes read, 0 at the end of the stream, -EAGAIN when
 * nothing is there now.
 */
ssize_t sasm_logdrain_read_stream(struct sasm_logdrain *drain, struct stream *stream,
			 size_t bytes_max)
{
	ssize_t bytes = read(stream->fd, drain->input, bytes_max);

	if (bytes < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : 0;
	if (bytes == 0)
		return 0;
	if (stream->has_hole) {
		/* Two lines with a hole between them must not become one. */
		stream->has_hole = false;
		sasm_logdrain_cut_stream(drain, stream, 'F');
	}
	stream->read_ns = sasm_logdrain_monotonic_ns();
	sasm_logdrain_count_input(drain, stream->run->agent, drain->input,
				  (size_t)bytes, false);
	write_input(drain, stream, (size_t)bytes);
	relink_pending(drain, stream);
	if (stream->is_pending && stream->read_ns - stream->pending_ns >=
					  SASM_LOGDRAIN_DRIBBLE_MS * NS_PER_MS)
		sasm_logdrain_cut_stream(drain, stream, 'P');
	return bytes;
}

void sasm_logdrain_close_stream(struct sasm_logdrain *drain, struct stream *stream)
{
	if (stream->fd < 0)
		return;
	sasm_logdrain_cut_stream(drain, stream, 'P');
	/* Explicitly: a duplicate elsewhere would keep the registration. */
	(void)epoll_ctl(drain->epoll_fd, EPOLL_CTL_DEL, stream->fd, NULL);
	(void)close(stream->fd); /* a pipe's read end has nothing to lose */
	stream->fd = -1;
}

/* Reports and frees a run with both streams closed. */
void sasm_logdrain_end_run(struct sasm_logdrain *drain, struct run *run)
{
	struct agent *agent = run->agent;
	struct run **at = &agent->runs;
	const uint64_t one = 1;

	if (run->streams[0].fd >= 0 || run->streams[1].fd >= 0)
		return;
	pthread_mutex_lock(&drain->lock);
	while (*at != run)
		at = &(*at)->next;
	*at = run->next;
	agent->counters.open_runs--;
	if (run->ended) {
		if (drain->ended_last)
			drain->ended_last->next = run->ended;
		else
			drain->ended_first = run->ended;
		drain->ended_last = run->ended;
		run->ended = NULL;
	}
	pthread_mutex_unlock(&drain->lock);
	/* Fails only when the counter is full, and then it is readable. */
	(void)!write(drain->finished_fd, &one, sizeof(one));
	sasm_logdrain_free_run(run);
}

/* Takes what is in the pipe now, and no more. */
void sasm_logdrain_read_all(struct sasm_logdrain *drain,
			       struct stream *stream)
{
	int there = 0;
	uint32_t left;

	if (stream->fd < 0 || ioctl(stream->fd, FIONREAD, &there) || there <= 0)
		return;
	left = (uint32_t)there < LAST_BYTES_MAX ? (uint32_t)there :
						  LAST_BYTES_MAX;
	while (left > 0) {
		ssize_t bytes = sasm_logdrain_read_stream(drain, stream,
					  left < SASM_LOGDRAIN_READ_BYTES ?
						  left :
						  SASM_LOGDRAIN_READ_BYTES);

		if (bytes <= 0)
			return;
		left -= (uint32_t)bytes;
	}
}

void sasm_logdrain_close_run(struct sasm_logdrain *drain, struct run *run)
{
	int index;

	for (index = 0; index < 2; index++) {
		sasm_logdrain_read_all(drain, &run->streams[index]);
		sasm_logdrain_close_stream(drain, &run->streams[index]);
	}
}
