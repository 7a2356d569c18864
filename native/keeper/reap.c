// SPDX-License-Identifier: Apache-2.0
/*
 * Reaping. SIGCHLD says that something ended, not what, and several become one; so each time all
 * that has ended is taken: agents by their pidfd, asmd, and the orphans that agents left to the
 * subreaper. The sweep looks with WNOWAIT first: nothing is reaped before it is known whose it is.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <sys/wait.h>
#include <unistd.h>

/* A fork storm of orphans must not keep us from asmd's orders. */
#define SWEEP_MAX 1024

static bool reap_child(struct sasm_keeper *keeper, struct sasm_child *child)
{
	if (!sasm_child_reap(child))
		return false;
	/* What asm-exec said comes before its exit, also where both are found in one turn. */
	if (sasm_child_read_status(child))
		sasm_tell(keeper, child, SASM_UNTOLD_EXECED);
	sasm_tell(keeper, child, SASM_UNTOLD_EXITED);
	return true;
}

static bool reap_daemon(struct sasm_daemon *daemon)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)daemon->pidfd, &info, WEXITED | WNOHANG) || info.si_pid == 0)
		return false;
	sasm_daemon_ended(daemon, info.si_code, info.si_status, sasm_now_ms());
	return true;
}

static bool reap_orphan(pid_t pid)
{
	siginfo_t info = { 0 };

	/* A zombie of ours keeps its pid until this very call: no reuse is possible before it. */
	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid == pid;
}

void sasm_sweep(struct sasm_keeper *keeper)
{
	const struct sasm_daemon *daemon = &keeper->daemon;

	keeper->has_zombies = false;
	for (int i = 0; i < SWEEP_MAX; i++) {
		siginfo_t info = { 0 };
		struct sasm_child *child;
		bool is_reaped;

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == 0)
			return;
		child = sasm_child_find_pid(info.si_pid);
		if (child)
			is_reaped = reap_child(keeper, child);
		else if (info.si_pid == daemon->pid && !daemon->is_stranger)
			is_reaped = reap_daemon(&keeper->daemon);
		else
			is_reaped = reap_orphan(info.si_pid);
		if (!is_reaped)
			return; /* the kernel contradicts itself; the next SIGCHLD looks again */
	}
	keeper->has_zombies = true;
}

void sasm_forget(struct sasm_keeper *keeper, struct sasm_child *child)
{
	if (child->untold)
		keeper->untold--;
	/* asmd may hold the same open files: closing ours would leave them in our epoll set. */
	sasm_unwatch(keeper, child->stdout_fd);
	sasm_unwatch(keeper, child->stderr_fd);
	sasm_child_forget(child);
}
