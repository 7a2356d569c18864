// SPDX-License-Identifier: Apache-2.0
/*
 * Telling asmd. Every child carries a set of things untold; it shrinks only when a record was taken
 * by the socket. So a slow asmd, a dead one and a new one all end up knowing the same.
 *
 * Nothing here waits: what the socket does not take now is told when epoll says that it takes more.
 * A connection that has died is found by reading, so that its last orders are still obeyed.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include "channel.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#define UNTOLD_NEWS (SASM_UNTOLD_SPAWNED | SASM_UNTOLD_EXECED | SASM_UNTOLD_EXITED)

/* While asmd is away its agents' output is thrown away and counted, so that none blocks on a pipe. */
static void watch_output(struct sasm_keeper *keeper, int index)
{
	sasm_watch(keeper, sasm_children[index].stdout_fd, OUTPUT_OUT, index, EPOLLIN);
	sasm_watch(keeper, sasm_children[index].stderr_fd, OUTPUT_ERR, index, EPOLLIN);
}

void sasm_set_output_watched(struct sasm_keeper *keeper, bool is_watched)
{
	for (int i = 0; i < sasm_children_end; i++) {
		if (!sasm_children[i].used || sasm_children[i].refused)
			continue;
		if (is_watched) {
			watch_output(keeper, i);
		} else {
			sasm_unwatch(keeper, sasm_children[i].stdout_fd);
			sasm_unwatch(keeper, sasm_children[i].stderr_fd);
		}
	}
}

void sasm_drop_channel(struct sasm_keeper *keeper, const char *why)
{
	if (keeper->channel_fd < 0)
		return;
	fprintf(stderr, "asm-keeper: connection to asmd ended: %s\n", why);
	close(keeper->channel_fd);
	keeper->channel_fd = -1;
	keeper->talk = SASM_TALK_NONE;
	keeper->is_channel_full = false;
	sasm_set_output_watched(keeper, true);
}

void sasm_tell(struct sasm_keeper *keeper, struct sasm_child *child, uint8_t what)
{
	if (!child->untold)
		keeper->untold++;
	child->untold |= what;
}

static void told(struct sasm_keeper *keeper, struct sasm_child *child, uint8_t what)
{
	child->untold &= (uint8_t)~what;
	if (!child->untold)
		keeper->untold--;
}

static void set_full(struct sasm_keeper *keeper, bool is_full)
{
	struct epoll_event event = {
		.events = EPOLLIN | (is_full ? EPOLLOUT : 0u),
		.data.u64 = (uint64_t)CHANNEL << 32,
	};

	if (keeper->is_channel_full == is_full)
		return;
	keeper->is_channel_full = is_full;
	epoll_ctl(keeper->epoll_fd, EPOLL_CTL_MOD, keeper->channel_fd, &event);
}

/* False when the socket did not take it. */
static bool send_record(struct sasm_keeper *keeper, const struct sasm_keeper_message *message,
			const int *fds, unsigned int fd_count)
{
	const bool is_taken = sasm_channel_send(keeper->channel_fd, message, fds, fd_count) == 0;

	set_full(keeper, !is_taken);
	return is_taken;
}

static bool send_answer(struct sasm_keeper *keeper, uint16_t type, int result)
{
	const struct sasm_keeper_message message = {
		.magic = SASM_KEEPER_MAGIC,
		.version = SASM_KEEPER_VERSION,
		.type = type,
		.pid = getpid(),
		.result = result,
	};

	return send_record(keeper, &message, NULL, 0);
}

static bool send_child(struct sasm_keeper *keeper, const struct sasm_child *child)
{
	const struct sasm_keeper_message message = sasm_child_message(child, SASM_KEEPER_CHILD);
	const int fds[SASM_CHILD_FD_NUM] = { child->pidfd, child->stdout_fd, child->stderr_fd };

	return send_record(keeper, &message, fds, SASM_CHILD_FD_NUM);
}

static bool send_news(struct sasm_keeper *keeper, const struct sasm_child *child, uint16_t type)
{
	struct sasm_keeper_message message = sasm_child_message(child, type);
	const bool has_pidfd = type == SASM_KEEPER_SPAWNED && !child->refused;

	if (has_pidfd)
		message.result = 0;
	return send_record(keeper, &message, &child->pidfd, has_pidfd ? 1 : 0);
}

/*
 * A birth that waits at its gate is no news yet: asmd is busy with its record just then, and both come
 * sooner when it is not woken for this.
 */
static bool is_due(const struct sasm_child *child)
{
	return child->untold & (child->is_gated ? UNTOLD_NEWS & ~SASM_UNTOLD_SPAWNED : UNTOLD_NEWS);
}

/* One child's news in their order. False when the socket took no more. */
static bool tell_news_of(struct sasm_keeper *keeper, struct sasm_child *child)
{
	static const struct {
		uint8_t what;
		uint16_t type;
	} news[] = {
		{ SASM_UNTOLD_SPAWNED, SASM_KEEPER_SPAWNED },
		{ SASM_UNTOLD_EXECED, SASM_KEEPER_EXECED },
		{ SASM_UNTOLD_EXITED, SASM_KEEPER_EXITED },
	};

	for (unsigned int i = 0; i < sizeof(news) / sizeof(news[0]); i++) {
		if (!(child->untold & news[i].what))
			continue;
		if (!send_news(keeper, child, news[i].type))
			return false;
		told(keeper, child, news[i].what);
	}
	if (child->refused && !child->untold)
		sasm_forget(keeper, child);
	return true;
}

static bool tell_children(struct sasm_keeper *keeper)
{
	for (int i = 0; i < sasm_children_end; i++) {
		struct sasm_child *child = &sasm_children[i];

		if (!child->used || !(child->untold & SASM_UNTOLD_CHILD))
			continue;
		if (!send_child(keeper, child))
			return false;
		told(keeper, child, child->untold); /* whatever happened until now stands in it */
		keeper->greeted++;
	}
	return send_answer(keeper, SASM_KEEPER_SYNCED, (int)keeper->greeted);
}

bool sasm_has_news(const struct sasm_keeper *keeper)
{
	return keeper->talk == SASM_TALK_NEWS ? keeper->untold > 0 : keeper->talk != SASM_TALK_NONE;
}

void sasm_tell_news(struct sasm_keeper *keeper)
{
	if (keeper->talk == SASM_TALK_HELLO) {
		if (!send_answer(keeper, SASM_KEEPER_HELLO, 0))
			return;
		keeper->talk = SASM_TALK_CHILDREN;
	}
	if (keeper->talk == SASM_TALK_CHILDREN) {
		if (!tell_children(keeper))
			return;
		keeper->talk = SASM_TALK_NEWS;
	}
	for (int i = 0; i < sasm_children_end && keeper->untold; i++)
		if (sasm_children[i].used && is_due(&sasm_children[i]) &&
		    !tell_news_of(keeper, &sasm_children[i]))
			return;
}

void sasm_greet(struct sasm_keeper *keeper)
{
	keeper->talk = SASM_TALK_HELLO;
	keeper->greeted = 0;
	for (int i = 0; i < sasm_children_end; i++) {
		struct sasm_child *child = &sasm_children[i];

		if (!child->used)
			continue;
		if (child->refused) {
			sasm_forget(keeper, child); /* who asked is gone */
			continue;
		}
		/* Whatever an earlier asmd was not told is part of CHILD now. */
		sasm_tell(keeper, child, SASM_UNTOLD_CHILD);
	}
}
