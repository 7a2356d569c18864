// SPDX-License-Identifier: Apache-2.0
/*
 * Reaping. Every exit goes through waitid(2) on a pidfd, so no pid can be mistaken for another; the
 * sweep for orphans looks with WNOWAIT first and leaves known children to their own pidfd.
 */
#define _GNU_SOURCE
#include "children.h"

#include "../exec/spec.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct sasm_child sasm_children[SASM_CHILDREN_MAX];

static uint64_t boottime_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int sasm_child_find(uint32_t agent_id, uint32_t run)
{
	for (int i = 0; i < SASM_CHILDREN_MAX; i++)
		if (sasm_children[i].used && sasm_children[i].agent_id == agent_id &&
		    sasm_children[i].run == run)
			return i;
	return -1;
}

int sasm_child_find_pid(pid_t pid)
{
	for (int i = 0; i < SASM_CHILDREN_MAX; i++)
		if (sasm_children[i].used && !sasm_children[i].exited && sasm_children[i].pid == pid)
			return i;
	return -1;
}

int sasm_child_free_slot(void)
{
	for (int i = 0; i < SASM_CHILDREN_MAX; i++)
		if (!sasm_children[i].used)
			return i;
	return -1;
}

unsigned int sasm_child_count(void)
{
	unsigned int count = 0;

	for (int i = 0; i < SASM_CHILDREN_MAX; i++)
		count += sasm_children[i].used;
	return count;
}

unsigned int sasm_child_living(void)
{
	unsigned int count = 0;

	for (int i = 0; i < SASM_CHILDREN_MAX; i++)
		count += sasm_children[i].used && !sasm_children[i].exited;
	return count;
}

bool sasm_child_reap(struct sasm_child *child)
{
	siginfo_t info = { 0 };

	if (child->exited)
		return false;
	if (waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG) || info.si_pid == 0)
		return false;
	child->exited = true;
	child->wait_code = info.si_code;
	child->wait_status = info.si_status;
	child->exit_us = boottime_us();
	return true;
}

bool sasm_child_read_status(struct sasm_child *child)
{
	struct sasm_exec_failure failure;
	ssize_t n;

	if (child->status_fd < 0)
		return false;
	n = read(child->status_fd, &failure, sizeof(failure));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n == sizeof(failure)) {
		child->stage = failure.stage;
		child->exec_result = -failure.error;
	}
	/* n == 0: closed by a successful exec, or by a death before it, which EXITED then tells. */
	close(child->status_fd);
	child->status_fd = -1;
	child->exec_done = true;
	return true;
}

void sasm_child_drop_output(struct sasm_child *child, int *fd)
{
	static char sink[1 << 16];
	ssize_t n;

	/* A few rounds only: one noisy agent must not keep the keeper from reaping the others. */
	for (int round = 0; round < 4; round++) {
		n = read(*fd, sink, sizeof(sink));
		if (n > 0) {
			child->dropped_bytes += (uint64_t)n;
			continue;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			close(*fd);
			*fd = -1;
		}
		return;
	}
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

void sasm_child_forget(struct sasm_child *child)
{
	close_if_open(child->pidfd);
	close_if_open(child->status_fd);
	close_if_open(child->stdout_fd);
	close_if_open(child->stderr_fd);
	memset(child, 0, sizeof(*child));
}

void sasm_reap_orphans(void)
{
	/* Bounded: a fork storm of orphans must not keep us from our own children. */
	for (int i = 0; i < 1024; i++) {
		siginfo_t info = { 0 };
		int known;

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == 0)
			return;
		known = sasm_child_find_pid(info.si_pid);
		if (known >= 0) {
			/* P_ALL would show the same child again and hide the orphans behind it. */
			if (sasm_child_reap(&sasm_children[known]))
				sasm_children[known].untold |= SASM_UNTOLD_EXITED;
			else
				return;
			continue;
		}
		/* A zombie of ours keeps its pid until this very call: no reuse is possible between. */
		waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
	}
}

struct sasm_keeper_message sasm_child_message(const struct sasm_child *child, uint16_t type)
{
	return (struct sasm_keeper_message){
		.magic = SASM_KEEPER_MAGIC,
		.version = SASM_KEEPER_VERSION,
		.type = type,
		.agent_id = child->agent_id,
		.run = child->run,
		.pid = child->pid,
		.result = child->exec_result,
		.stage = child->stage,
		.wait_code = child->wait_code,
		.wait_status = child->wait_status,
		.exec_done = child->exec_done,
		.timestamp_us = child->exit_us,
		.dropped_bytes = child->dropped_bytes,
	};
}
