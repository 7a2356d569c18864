// SPDX-License-Identifier: Apache-2.0
/* Obeying asmd: who may give orders, and what each of the four does. */
#define _GNU_SOURCE
#include "keeper.h"

#include "channel.h"
#include "spawn.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void forget(struct sasm_keeper *keeper, struct sasm_child *child)
{
	if (child->untold)
		keeper->untold--;
	sasm_child_forget(child);
}

static int give_birth(struct sasm_keeper *keeper, const struct sasm_keeper_message *order,
		      int fds[SASM_SPAWN_FD_NUM])
{
	struct sasm_birth birth;
	struct sasm_child *child;
	int index = sasm_child_free_slot(), r;

	for (int i = 0; i < SASM_SPAWN_FD_NUM; i++)
		if (fds[i] < 0)
			return -EBADF;
	if (index < 0)
		return -ENOSPC;
	if (sasm_child_find(order->agent_id, order->run) >= 0)
		return -EEXIST;
	r = sasm_spawn(keeper->exec_fd, fds[SASM_SPAWN_CGROUP], fds[SASM_SPAWN_SPEC],
		       fds[SASM_SPAWN_STDOUT], fds[SASM_SPAWN_STDERR], &birth);
	if (r < 0)
		return r;
	child = &sasm_children[index];
	*child = (struct sasm_child){
		.used = true,
		.agent_id = order->agent_id,
		.run = order->run,
		.pid = birth.pid,
		.pidfd = birth.pidfd,
		.status_fd = birth.status_fd,
		.stdout_fd = fds[SASM_SPAWN_STDOUT_READ],
		.stderr_fd = fds[SASM_SPAWN_STDERR_READ],
	};
	fds[SASM_SPAWN_STDOUT_READ] = fds[SASM_SPAWN_STDERR_READ] = -1; /* now the child's */
	sasm_tell(keeper, child, SASM_UNTOLD_SPAWNED);
	sasm_watch(keeper, child->pidfd, PIDFD, index, EPOLLIN);
	if (birth.exec_result < 0) {
		child->exec_result = birth.exec_result; /* stage START */
		child->exec_done = true;
		close(child->status_fd);
		child->status_fd = -1;
		sasm_tell(keeper, child, SASM_UNTOLD_EXECED);
	} else {
		sasm_watch(keeper, child->status_fd, STATUS, index, EPOLLIN);
	}
	return 0;
}

static void obey(struct sasm_keeper *keeper, const struct sasm_keeper_message *order,
		 int fds[SASM_SPAWN_FD_NUM])
{
	struct sasm_keeper_message reply;
	int index, r;

	switch (order->type) {
	case SASM_KEEPER_HELLO:
		sasm_greet(keeper);
		break;
	case SASM_KEEPER_SPAWN:
		r = give_birth(keeper, order, fds);
		if (r < 0) {
			reply = sasm_answer(SASM_KEEPER_SPAWNED, r);
			reply.agent_id = order->agent_id;
			reply.run = order->run;
			sasm_channel_send(keeper->channel_fd, &reply, NULL, 0);
		}
		break;
	case SASM_KEEPER_ACK:
		index = sasm_child_find(order->agent_id, order->run);
		if (index >= 0 && sasm_children[index].exited)
			forget(keeper, &sasm_children[index]);
		break;
	case SASM_KEEPER_QUIT:
		keeper->quits = true;
		keeper->daemon.wanted = false;
		break;
	}
}

void sasm_read_orders(struct sasm_keeper *keeper)
{
	/* A bounded batch, so that a flood of orders cannot starve the reaping. */
	for (int i = 0; i < 64 && keeper->channel_fd >= 0; i++) {
		struct sasm_keeper_message order;
		int fds[SASM_SPAWN_FD_NUM];
		int r = sasm_channel_receive(keeper->channel_fd, &order, fds);

		if (r == -EAGAIN || r == -EINTR)
			return;
		if (r == 1)
			obey(keeper, &order, fds);
		for (int k = 0; r >= 0 && k < SASM_SPAWN_FD_NUM; k++)
			if (fds[k] >= 0)
				close(fds[k]);
		if (r <= 0)
			sasm_drop_channel(keeper, r == 0 ? "closed" : strerror(-r));
	}
}

void sasm_accept_peer(struct sasm_keeper *keeper)
{
	pid_t pid;
	int fd = sasm_channel_accept(keeper->listen_fd, &pid);

	if (fd < 0)
		return;
	if (keeper->channel_fd >= 0) {
		/* One asmd at a time; a second one learns it by the close. */
		close(fd);
		return;
	}
	keeper->channel_fd = fd;
	sasm_set_output_watched(keeper, false);
	sasm_watch(keeper, fd, CHANNEL, 0, EPOLLIN);
}
