// SPDX-License-Identifier: Apache-2.0
/*
 * The table itself. An exit is taken by waitid(2) on the child's pidfd, so no pid can be mistaken
 * for another.
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
int sasm_children_end;

static uint64_t boottime_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct sasm_child *sasm_child_new(uint32_t agent_id, uint32_t run)
{
	for (int i = 0; i < SASM_CHILDREN_MAX; i++) {
		if (sasm_children[i].used)
			continue;
		sasm_children[i] = (struct sasm_child){
			.used = true,
			.agent_id = agent_id,
			.run = run,
			.pidfd = -1,
			.status_fd = -1,
			.stdout_fd = -1,
			.stderr_fd = -1,
		};
		if (i >= sasm_children_end)
			sasm_children_end = i + 1;
		return &sasm_children[i];
	}
	return NULL;
}

struct sasm_child *sasm_child_find(uint32_t agent_id, uint32_t run)
{
	for (int i = 0; i < sasm_children_end; i++) {
		struct sasm_child *child = &sasm_children[i];

		if (child->used && !child->refused && child->agent_id == agent_id &&
		    child->run == run)
			return child;
	}
	return NULL;
}

struct sasm_child *sasm_child_find_pid(pid_t pid)
{
	for (int i = 0; i < sasm_children_end; i++) {
		struct sasm_child *child = &sasm_children[i];

		if (child->used && !child->exited && child->pid == pid)
			return child;
	}
	return NULL;
}

int sasm_child_index(const struct sasm_child *child)
{
	return (int)(child - sasm_children);
}

bool sasm_children_live(void)
{
	for (int i = 0; i < sasm_children_end; i++)
		if (sasm_children[i].used && !sasm_children[i].exited)
			return true;
	return false;
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

bool sasm_child_drop_output(struct sasm_child *child, int fd)
{
	static char sink[1 << 16];

	/* A few rounds only: one noisy agent must not keep the keeper from reaping the others. */
	for (int round = 0; round < 4; round++) {
		ssize_t n = read(fd, sink, sizeof(sink));

		if (n > 0)
			child->dropped_bytes += (uint64_t)n;
		else
			return n == 0 || (errno != EAGAIN && errno != EINTR);
	}
	return false;
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
	while (sasm_children_end > 0 && !sasm_children[sasm_children_end - 1].used)
		sasm_children_end--;
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
