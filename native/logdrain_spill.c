/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stand-in: drains and drops while the disk hangs.
 *
 * It sleeps on a timer that the draining thread sets before, and takes back
 * after, every file operation. When the timer fires the operation has hung
 * for SASM_LOGDRAIN_STALL_MS; from then on this thread reads the same pipes
 * through the same epoll, until the operation returns. `takeover` keeps the
 * two apart; the draining thread passes through it after every operation.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "internal/logdrain_parts.h"

/* How long the draining thread may have to wait for `takeover`. */
#define SPILL_WAIT_MS 20

static void spill_stream(struct sasm_logdrain *drain, struct stream *stream)
{
	ssize_t bytes = read(stream->fd, drain->spill_input,
			     sizeof(drain->spill_input));

	if (bytes > 0) {
		stream->has_hole = true;
		sasm_logdrain_count_input(drain, stream->run->agent,
					  drain->spill_input, (size_t)bytes,
					  true);
		return;
	}
	if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* At its end: out of the set, or it would be reported at once, again
	 * and again; the draining thread closes it later.
	 */
	(void)epoll_ctl(drain->epoll_fd, EPOLL_CTL_DEL, stream->fd, NULL);
	stream->has_hung_up = true;
	pthread_mutex_lock(&drain->lock);
	drain->has_hung_up = true;
	pthread_mutex_unlock(&drain->lock);
}

static bool is_disk_hanging(const struct sasm_logdrain *drain)
{
	uint64_t since_ns = __atomic_load_n(&drain->disk_since_ns,
					    __ATOMIC_SEQ_CST);

	return since_ns && sasm_logdrain_monotonic_ns() - since_ns >=
				   SASM_LOGDRAIN_STALL_MS * 1000000ULL;
}

/* One turn, if the disk still hangs. A wake-up seen here is not lost: the
 * draining thread looks at its orders before it waits.
 */
static bool spill_turn(struct sasm_logdrain *drain)
{
	struct epoll_event events[EVENTS_PER_TURN];
	bool is_hanging;
	int index, count;

	pthread_mutex_lock(&drain->takeover);
	is_hanging = is_disk_hanging(drain);
	if (is_hanging) {
		count = epoll_wait(drain->epoll_fd, events, EVENTS_PER_TURN,
				   SPILL_WAIT_MS);
		for (index = 0; index < count; index++)
			if (events[index].data.ptr)
				spill_stream(drain, events[index].data.ptr);
	}
	pthread_mutex_unlock(&drain->takeover);
	return is_hanging;
}

void *sasm_logdrain_spill_loop(void *argument)
{
	struct sasm_logdrain *drain = argument;
	uint64_t expirations;
	bool stop = false;

	while (!stop) {
		/* Blocks; a timer that was taken back just blocks again. */
		if (read(drain->stall_timer_fd, &expirations,
			 sizeof(expirations)) < 0 && errno != EINTR)
			break;
		while (spill_turn(drain))
			;
		pthread_mutex_lock(&drain->lock);
		stop = drain->stop;
		pthread_mutex_unlock(&drain->lock);
	}
	return NULL;
}
