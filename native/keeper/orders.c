// SPDX-License-Identifier: Apache-2.0
/* Obeying asmd: who may give orders, and what each of the four does. */
#define _GNU_SOURCE
#include "keeper.h"

#include "channel.h"
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* A read end that blocks would stop the keeper as a whole; O_NONBLOCK belongs to the open file. */
static void take_output(struct sasm_child *child, int fds[SASM_SPAWN_FD_NUM])
{
	child->stdout_fd = fds[SASM_SPAWN_STDOUT_READ];
	child->stderr_fd = fds[SASM_SPAWN_STDERR_READ];
	fds[SASM_SPAWN_STDOUT_READ] = fds[SASM_SPAWN_STDERR_READ] = -1; /* now the child's */
	fcntl(child->stdout_fd, F_SETFL, O_NONBLOCK);
	fcntl(child->stderr_fd, F_SETFL, O_NONBLOCK);
}

/* A child born frozen would not come to its exec, and we wait for that (CLONE_VFORK). */
static bool is_frozen(int cgroup)
{
	char text[256];
	ssize_t n = -1;
	int fd = openat(cgroup, "cgroup.events", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	text[n < 0 ? 0 : n] = 0;
	return strstr(text, "frozen 1") != NULL;
}

static int give_birth(struct sasm_keeper *keeper, const struct sasm_keeper_message *order,
		      int fds[SASM_SPAWN_FD_NUM])
{
	struct sasm_birth birth;
	struct sasm_child *child;
	int r;

	for (int i = 0; i < SASM_SPAWN_GATE; i++)
		if (fds[i] < 0)
			return -EBADF;
	if (sasm_child_find(order->agent_id, order->run))
		return -EEXIST;
	if (is_frozen(fds[SASM_SPAWN_CGROUP]))
		return -EBUSY;
	child = sasm_child_new(order->agent_id, order->run);
	if (!child)
		return -ENOSPC;
	r = sasm_spawn(keeper->exec_fd, fds, &birth);
	if (r < 0) {
		sasm_child_forget(child);
		return r;
	}
	child->pid = birth.pid;
	child->pidfd = birth.pidfd;
	child->status_fd = birth.status_fd;
	child->is_gated = fds[SASM_SPAWN_GATE] >= 0;
	take_output(child, fds);
	sasm_tell(keeper, child, SASM_UNTOLD_SPAWNED);
	if (birth.exec_result < 0) {
		child->exec_result = birth.exec_result; /* stage START */
		child->exec_done = true;
		close(child->status_fd);
		child->status_fd = -1;
		sasm_tell(keeper, child, SASM_UNTOLD_EXECED);
	} else {
		sasm_watch(keeper, child->status_fd, STATUS, sasm_child_index(child), EPOLLIN);
	}
	return 0;
}

/* A refusal takes a slot until it is told: asmd waits for an answer to each order. */
static void refuse(struct sasm_keeper *keeper, const struct sasm_keeper_message *order, int error)
{
	struct sasm_child *child = sasm_child_new(order->agent_id, order->run);

	if (!child) {
		/* The only answer that is left: asmd has ordered more than it can ever have. */
		sasm_drop_channel(keeper, "no slot is left to refuse an order");
		return;
	}
	child->refused = true;
	child->exited = true;
	child->exec_result = error;
	sasm_tell(keeper, child, SASM_UNTOLD_SPAWNED);
}

static void acknowledge(struct sasm_keeper *keeper, const struct sasm_keeper_message *order)
{
	struct sasm_child *child = sasm_child_find(order->agent_id, order->run);

	if (child && child->exited)
		sasm_forget(keeper, child);
}

static void obey(struct sasm_keeper *keeper, const struct sasm_keeper_message *order,
		 int fds[SASM_SPAWN_FD_NUM])
{
	int r;

	switch (order->type) {
	case SASM_KEEPER_HELLO:
		keeper->quits = false;
		sasm_greet(keeper);
		break;
	case SASM_KEEPER_SPAWN:
		r = give_birth(keeper, order, fds);
		if (r < 0)
			refuse(keeper, order, r);
		break;
	case SASM_KEEPER_ACK:
		acknowledge(keeper, order);
		break;
	case SASM_KEEPER_REST:
		keeper->daemon.wanted = false;
		break;
	case SASM_KEEPER_QUIT:
		keeper->quits = true;
		keeper->daemon.wanted = false;
		break;
	default: /* of a newer asmd, which knows our version from our HELLO */
		break;
	}
}

/* One order. 1 = done, 0 = none waits, -errno = the connection is of no more use. */
static int read_order(struct sasm_keeper *keeper)
{
	struct sasm_keeper_message order;
	int fds[SASM_SPAWN_FD_NUM];
	int r = sasm_channel_receive(keeper->channel_fd, &order, fds);

	if (r == 1 && keeper->talk == SASM_TALK_NONE && order.type != SASM_KEEPER_HELLO)
		r = -EPROTO;
	if (r == 1)
		obey(keeper, &order, fds);
	for (int i = 0; i < SASM_SPAWN_FD_NUM; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (r == -EAGAIN || r == -EINTR)
		return 0;
	/* Said once when the peer left news unread; its orders are still to be had. */
	if (r == -ECONNRESET)
		return 1;
	return r == 0 ? -EPIPE : r;
}

void sasm_read_orders(struct sasm_keeper *keeper)
{
	/* A bounded batch, so that a flood of orders cannot starve the reaping. */
	for (int i = 0; i < 64 && keeper->channel_fd >= 0; i++) {
		const int r = read_order(keeper);

		if (r == 0)
			return;
		if (r < 0)
			sasm_drop_channel(keeper, r == -EPIPE ? "closed" : strerror(-r));
	}
}

void sasm_accept_peer(struct sasm_keeper *keeper)
{
	int fd;

	/* The orders of an asmd that has died come before its successor's. */
	while (keeper->channel_fd >= 0 && sasm_channel_is_closed(keeper->channel_fd))
		sasm_read_orders(keeper);
	fd = sasm_channel_accept(keeper->listen_fd);
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
