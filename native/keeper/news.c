// SPDX-License-Identifier: Apache-2.0
/*
 * Telling asmd. Every child carries a set of things untold; it shrinks only when a record was taken
 * by the socket. So a slow asmd, a dead one and a new one all end up knowing the same.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include "channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct sasm_keeper_message sasm_answer(uint16_t type, int result)
{
	return (struct sasm_keeper_message){
		.magic = SASM_KEEPER_MAGIC,
		.version = SASM_KEEPER_VERSION,
		.type = type,
		.pid = getpid(),
		.result = result,
	};
}

/* While asmd is away its agents' output is thrown away and counted, so that none blocks on a pipe. */
static void watch_output(struct sasm_keeper *keeper, int index)
{
	struct sasm_child *child = &sasm_children[index];

	if (child->stdout_fd >= 0)
		sasm_watch(keeper, child->stdout_fd, OUTPUT_OUT, index, EPOLLIN);
	if (child->stderr_fd >= 0)
		sasm_watch(keeper, child->stderr_fd, OUTPUT_ERR, index, EPOLLIN);
}

void sasm_set_output_watched(struct sasm_keeper *keeper, bool is_watched)
{
	for (int i = 0; i < SASM_CHILDREN_MAX; i++) {
		if (!sasm_children[i].used)
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
	keeper->is_channel_full = false;
	sasm_set_output_watched(keeper, true);
}

void sasm_tell(struct sasm_keeper *keeper, struct sasm_child *child, uint8_t what)
{
	if (!child->untold)
		keeper->untold++;
	child->untold |= what;
}

/* Send one kind of news. False when the socket took no more. */
static bool send_news(struct sasm_keeper *keeper, struct sasm_child *child, uint8_t what)
{
	static const struct {
		uint8_t what;
		uint16_t type;
	} types[] = {
		{ SASM_UNTOLD_CHILD, SASM_KEEPER_CHILD },
		{ SASM_UNTOLD_SPAWNED, SASM_KEEPER_SPAWNED },
		{ SASM_UNTOLD_EXECED, SASM_KEEPER_EXECED },
		{ SASM_UNTOLD_EXITED, SASM_KEEPER_EXITED },
	};
	struct sasm_keeper_message message;
	int fds[SASM_CHILD_FD_NUM], fd_count = 0, r;
	uint16_t type = 0;

	for (unsigned int i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].what == what)
			type = types[i].type;
	message = sasm_child_message(child, type);
	if (type == SASM_KEEPER_SPAWNED) {
		message.result = 0;
		message.wait_code = 0; /* an exit, if there is one already, has its own record */
		fds[fd_count++] = child->pidfd;
	} else if (type == SASM_KEEPER_CHILD) {
		fds[fd_count++] = child->pidfd;
		if (child->stdout_fd >= 0 && child->stderr_fd >= 0) {
			fds[fd_count++] = child->stdout_fd;
			fds[fd_count++] = child->stderr_fd;
		}
	}
	r = sasm_channel_send(keeper->channel_fd, &message, fds, (unsigned int)fd_count);
	if (r == -EAGAIN)
		keeper->is_channel_full = true;
	else if (r < 0)
		sasm_drop_channel(keeper, strerror(-r));
	return r == 0;
}

/* Tell asmd all that it does not know yet, oldest kind first; stop when its socket is full. */
void sasm_tell_news(struct sasm_keeper *keeper)
{
	static const uint8_t order[] = { SASM_UNTOLD_CHILD, SASM_UNTOLD_SPAWNED, SASM_UNTOLD_EXECED,
					 SASM_UNTOLD_EXITED };

	for (int i = 0; i < SASM_CHILDREN_MAX && keeper->untold && keeper->channel_fd >= 0; i++) {
		struct sasm_child *child = &sasm_children[i];

		if (!child->used || !child->untold)
			continue;
		for (unsigned int k = 0; k < sizeof(order); k++) {
			if (!(child->untold & order[k]))
				continue;
			if (!send_news(keeper, child, order[k]))
				return;
			child->untold &= (uint8_t)~order[k];
		}
		keeper->untold--;
	}
	keeper->is_channel_full = false;
}

void sasm_greet(struct sasm_keeper *keeper)
{
	struct sasm_keeper_message hello = sasm_answer(SASM_KEEPER_HELLO, 0), synced;

	/* Whatever an earlier asmd was not told is part of CHILD now. */
	keeper->untold = 0;
	for (int i = 0; i < SASM_CHILDREN_MAX; i++) {
		sasm_children[i].untold = 0;
		if (sasm_children[i].used)
			sasm_tell(keeper, &sasm_children[i], SASM_UNTOLD_CHILD);
	}
	synced = sasm_answer(SASM_KEEPER_SYNCED, (int)sasm_child_count());
	/* The greeting must arrive whole before any order: wait here while the socket is full. */
	if (sasm_channel_send(keeper->channel_fd, &hello, NULL, 0) < 0)
		sasm_drop_channel(keeper, "greeting not taken");
	while (keeper->channel_fd >= 0 && keeper->untold) {
		struct epoll_event ignored;

		sasm_tell_news(keeper);
		if (keeper->is_channel_full) {
			keeper->is_channel_full = false;
			epoll_wait(keeper->epoll_fd, &ignored, 1, 1);
		}
	}
	if (keeper->channel_fd >= 0)
		sasm_channel_send(keeper->channel_fd, &synced, NULL, 0);
}
