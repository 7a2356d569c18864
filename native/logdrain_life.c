/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log drain's life: open, start, close. See logdrain.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "internal/logdrain_parts.h"

void sasm_logdrain_close_fd(int fd)
{
	if (fd >= 0)
		(void)close(fd); /* nothing here buffers */
}

static void free_drain(struct sasm_logdrain *drain)
{
	struct agent *agent;
	struct ended *ended;
	int bucket;

	for (bucket = 0; bucket < BUCKETS; bucket++)
		while ((agent = drain->buckets[bucket])) {
			drain->buckets[bucket] = agent->next;
			sasm_logdrain_free_agent(agent);
		}
	while ((agent = drain->dying)) {
		drain->dying = agent->dying_next;
		sasm_logdrain_free_agent(agent);
	}
	while ((ended = drain->ended_first)) {
		drain->ended_first = ended->next;
		free(ended);
	}
	sasm_logdrain_close_fd(drain->stall_timer_fd);
	sasm_logdrain_close_fd(drain->finished_fd);
	sasm_logdrain_close_fd(drain->wake_fd);
	sasm_logdrain_close_fd(drain->epoll_fd);
	sasm_logdrain_close_fd(drain->directory_fd);
	pthread_cond_destroy(&drain->progress);
	pthread_mutex_destroy(&drain->takeover);
	pthread_mutex_destroy(&drain->lock);
	free(drain);
}

int sasm_logdrain_open(int directory_fd, uint32_t group_id,
		       struct sasm_logdrain **ret_drain)
{
	struct sasm_logdrain *drain = calloc(1, sizeof(*drain));
	struct epoll_event wake = { .events = EPOLLIN | EPOLLET };
	pthread_condattr_t monotonic;
	int result;

	if (!drain)
		return -ENOMEM;
	drain->group_id = group_id;
	pthread_mutex_init(&drain->lock, NULL);
	pthread_mutex_init(&drain->takeover, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&drain->progress, &monotonic);
	pthread_condattr_destroy(&monotonic);
	drain->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	drain->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	drain->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	drain->stall_timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	drain->directory_fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 0);
	if (drain->epoll_fd < 0 || drain->wake_fd < 0 ||
	    drain->finished_fd < 0 || drain->stall_timer_fd < 0 ||
	    drain->directory_fd < 0 ||
	    epoll_ctl(drain->epoll_fd, EPOLL_CTL_ADD, drain->wake_fd, &wake)) {
		result = -errno;
		free_drain(drain);
		return result;
	}
	*ret_drain = drain;
	return 0;
}

/* Only when the draining thread is not running: it sets the same timer. */
static void stop_spill(struct sasm_logdrain *drain)
{
	struct itimerspec now = { .it_value.tv_nsec = 1 };

	pthread_mutex_lock(&drain->lock);
	drain->stop = true;
	pthread_mutex_unlock(&drain->lock);
	(void)timerfd_settime(drain->stall_timer_fd, 0, &now, NULL); /* ours */
	(void)pthread_join(drain->spill_thread, NULL); /* exists, once */
}

int sasm_logdrain_start(struct sasm_logdrain *drain)
{
	sigset_t all, before;
	int result;

	if (drain->is_started)
		return -EALREADY;
	/* Signals are the caller's business, on the caller's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&drain->spill_thread, NULL,
				sasm_logdrain_spill_loop, drain);
	if (!result) {
		result = pthread_create(&drain->thread, NULL,
					sasm_logdrain_loop, drain);
		if (result)
			stop_spill(drain);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result)
		return -result;
	(void)pthread_setname_np(drain->thread, "asm-logdrain"); /* cosmetic */
	(void)pthread_setname_np(drain->spill_thread, "asm-logspill"); /* same */
	drain->is_started = true;
	return 0;
}

struct timespec sasm_logdrain_after_ms(clockid_t clock, uint32_t milliseconds)
{
	struct timespec until;

	(void)clock_gettime(clock, &until); /* cannot fail */
	until.tv_sec += milliseconds / 1000;
	until.tv_nsec += milliseconds % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return until;
}

int sasm_logdrain_close(struct sasm_logdrain *drain)
{
	struct timespec until;

	if (!drain)
		return 0;
	if (drain->is_started) {
		pthread_mutex_lock(&drain->lock);
		drain->stop = true;
		pthread_mutex_unlock(&drain->lock);
		sasm_logdrain_wake(drain);
		until = sasm_logdrain_after_ms(CLOCK_REALTIME, SASM_LOGDRAIN_CLOSE_MS);
		if (pthread_timedjoin_np(drain->thread, NULL, &until))
			return -ETIMEDOUT;
		stop_spill(drain);
	}
	free_drain(drain);
	return 0;
}
