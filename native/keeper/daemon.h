/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping asmd alive where no systemd does: started here, restarted here, left alone on request. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

struct sasm_daemon {
	char *const *argv; /* NULL: somebody else keeps asmd */
	pid_t pid; /* 0: does not run */
	int pidfd;
	bool wanted;
	bool comes_back; /* it was asked to leave, and then to come back: start it whatever its status */
	bool is_stranger; /* not our child: watched by pidfd only */
	unsigned int failures; /* in a row; a life of 10 s clears them */
	long long started_ms;
	long long next_start_ms; /* when due; 0 = not planned */
};

/* The exit status by which asmd says "my configuration is wrong; starting me again will not help". */
#define SASM_DAEMON_EXIT_CONFIG 78 /* EX_CONFIG of sysexits.h */

/* Start now. Failures are planned like deaths. */
void sasm_daemon_start(struct sasm_daemon *daemon, long long now_ms);

/* Note its death (waitid's code and status) and plan what follows. */
void sasm_daemon_ended(struct sasm_daemon *daemon, int wait_code, int wait_status, long long now_ms);

/* Milliseconds until something is due: -1 = nothing. */
int sasm_daemon_timeout_ms(const struct sasm_daemon *daemon, long long now_ms);
