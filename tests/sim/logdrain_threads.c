/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log drain under all its callers at once, for ThreadSanitizer.
 *
 *	logdrain_threads DIRECTORY ROUNDS
 *
 * One thread adds runs of twenty agents and lets them end; another asks,
 * flushes, finishes and removes. Prints the runs added, and whether closing
 * worked; the sanitizer ends it with 66 at the first race.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "logdrain.h"

#define AGENTS 20
#define BATCH 64

static struct sasm_logdrain *drain;
static int rounds;

static uint32_t agent_of(int round)
{
	return (uint32_t)(1 + round % AGENTS);
}

/* Every call may be refused here: the agent or the run may be gone. */
static void *ask(void *unused)
{
	struct sasm_logdrain_counters counters;
	uint64_t offset, run_offset;
	int round;

	(void)unused;
	for (round = 0; round < 5 * rounds; round++) {
		(void)sasm_logdrain_read_counters(drain, agent_of(round),
						  &counters);
		if (round % 50 == 0)
			(void)sasm_logdrain_offset(drain, agent_of(round),
						   &offset,
						   &run_offset);
		if (round % 333 == 0)
			(void)sasm_logdrain_finish(drain, agent_of(round),
						   (uint64_t)round / 5);
		if (round % 500 == 0)
			(void)sasm_logdrain_flush(drain, 100);
		if (round % 777 == 0)
			(void)sasm_logdrain_remove(drain, agent_of(round));
	}
	return NULL;
}

static int add(int round)
{
	char text[3000], name[32];
	int out[2], error[2];
	size_t at;
	int result;

	if (pipe(out) || pipe(error))
		return -1;
	memset(text, 'z', sizeof(text));
	for (at = (size_t)round % 100; at < sizeof(text); at += 1 + at % 200)
		text[at] = '\n';
	(void)snprintf(name, sizeof(name), "agent%u", agent_of(round));
	result = sasm_logdrain_add(drain, agent_of(round), (uint64_t)round,
				   name, out[0], error[0], 8192, 3);
	/* Less than a pipe holds; refused only by a pipe that was closed. */
	(void)!write(out[1], text, (size_t)(round * 7) % sizeof(text));
	(void)!write(error[1], text, (size_t)(round * 3) % sizeof(text));
	(void)close(out[1]);
	(void)close(error[1]);
	return result;
}

int main(int count, char **arguments)
{
	struct sasm_logdrain_ended ended[BATCH];
	int round, directory, added = 0;
	pthread_t asker;

	(void)signal(SIGPIPE, SIG_IGN); /* a finished run has no reader */
	if (count != 3)
		return 2;
	directory = open(arguments[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rounds = atoi(arguments[2]);
	if (directory < 0 ||
	    sasm_logdrain_open(directory, UINT32_MAX, &drain) ||
	    sasm_logdrain_start(drain) ||
	    pthread_create(&asker, NULL, ask, NULL))
		return 1;
	for (round = 0; round < rounds; round++) {
		added += add(round) == 0;
		(void)sasm_logdrain_take_finished(drain, ended, BATCH);
	}
	(void)pthread_join(asker, NULL);
	printf("%d added, close %d\n", added, sasm_logdrain_close(drain));
	return 0;
}
