// SPDX-License-Identifier: Apache-2.0
/*
 * The first restart is at once, then 200 ms doubling to 30 s, as systemd's RestartSteps would do it.
 * Exit 0 is a shutdown that was asked for; EX_CONFIG would only fail again. Neither is restarted.
 */
#define _GNU_SOURCE
#include "daemon.h"

#include "spawn.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKOFF_FIRST_MS 200
#define BACKOFF_LAST_MS 30000
#define HEALTHY_LIFE_MS 10000

static void plan(struct sasm_daemon *daemon, long long now_ms)
{
	long long delay = 0;

	if (daemon->failures > 0) {
		unsigned int doublings = daemon->failures - 1;

		delay = doublings > 7 ? BACKOFF_LAST_MS : (long long)BACKOFF_FIRST_MS << doublings;
		if (delay > BACKOFF_LAST_MS)
			delay = BACKOFF_LAST_MS;
	}
	daemon->failures++;
	daemon->next_start_ms = now_ms + delay;
}

void sasm_daemon_start(struct sasm_daemon *daemon, long long now_ms)
{
	int r;

	daemon->next_start_ms = 0;
	daemon->comes_back = false;
	r = sasm_spawn_daemon(daemon->argv, &daemon->pid, &daemon->pidfd);
	if (r < 0) {
		fprintf(stderr, "asm-keeper: unable to start asmd: %s, retrying\n", strerror(-r));
		daemon->pid = 0;
		plan(daemon, now_ms);
		return;
	}
	daemon->started_ms = now_ms;
}

void sasm_daemon_ended(struct sasm_daemon *daemon, int wait_code, int wait_status, long long now_ms)
{
	close(daemon->pidfd);
	daemon->pid = 0;
	daemon->pidfd = -1;
	if (!daemon->comes_back && wait_code == CLD_EXITED &&
	    (wait_status == 0 || wait_status == SASM_DAEMON_EXIT_CONFIG)) {
		fprintf(stderr, "asm-keeper: asmd left with status %d, not restarting it\n",
			wait_status);
		daemon->wanted = false;
		return;
	}
	fprintf(stderr, "asm-keeper: asmd ended by %s %d, restarting it\n",
		wait_code == CLD_EXITED ? "exit status" : "signal", wait_status);
	if (now_ms - daemon->started_ms >= HEALTHY_LIFE_MS)
		daemon->failures = 0;
	if (daemon->wanted)
		plan(daemon, now_ms);
}

int sasm_daemon_timeout_ms(const struct sasm_daemon *daemon, long long now_ms)
{
	if (daemon->next_start_ms == 0)
		return -1;
	return daemon->next_start_ms <= now_ms ? 0 : (int)(daemon->next_start_ms - now_ms);
}
