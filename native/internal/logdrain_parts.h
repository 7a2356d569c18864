/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the log drain's files call of each other. Callers of the library come
 * in through logdrain.c (change), logdrain_view.c (ask) and logdrain_life.c
 * (open, start, close); the draining thread is logdrain_loop.c over
 * logdrain_stream.c and logdrain_output.c; the stand-in is logdrain_spill.c.
 */
#pragma once

#include <sys/types.h>
#include <time.h>

#include "internal/logdrain_state.h"

/* logdrain_table.c; find with `lock` held. */
struct agent *sasm_logdrain_find(const struct sasm_logdrain *drain,
				 uint32_t agent_id);
void sasm_logdrain_wake(struct sasm_logdrain *drain);
uint64_t sasm_logdrain_monotonic_ns(void);

/* Frees an agent that is in no list, its runs and their fds included. */
void sasm_logdrain_free_agent(struct agent *agent);
void sasm_logdrain_free_run(struct run *run);

/* Adds what was read to an agent's counters. */
void sasm_logdrain_count_input(struct sasm_logdrain *drain, struct agent *agent,
			       const char *input, size_t bytes,
			       bool is_dropped);

/*
 * logdrain_output.c, for the draining thread only. Settling applies what the
 * last add asked for and opens the file if that was never tried; writing
 * settles first, then appends what is in drain->output.
 */
void sasm_logdrain_settle(struct sasm_logdrain *drain, struct agent *agent);
void sasm_logdrain_write(struct sasm_logdrain *drain, struct agent *agent,
			 size_t bytes);

/* logdrain_stream.c, for the draining thread only. */

/* One read, written. The bytes read, 0 at the end, -EAGAIN: nothing there. */
ssize_t sasm_logdrain_read_stream(struct sasm_logdrain *drain,
				  struct stream *stream, size_t bytes_max);

/* Takes what is in the pipe now, and no more. */
void sasm_logdrain_read_all(struct sasm_logdrain *drain, struct stream *stream);

/* Writes what is pending, tagged 'P' or 'F'. */
void sasm_logdrain_cut_stream(struct sasm_logdrain *drain,
			      struct stream *stream, char tag);
void sasm_logdrain_close_stream(struct sasm_logdrain *drain,
				struct stream *stream);
void sasm_logdrain_close_run(struct sasm_logdrain *drain, struct run *run);

/* Reports and frees a run if both its streams are closed. */
void sasm_logdrain_end_run(struct sasm_logdrain *drain, struct run *run);

/* logdrain_table.c, with `lock` held. */
void sasm_logdrain_unlink_agent(struct sasm_logdrain *drain,
				struct agent *agent);
int sasm_logdrain_find_or_add(struct sasm_logdrain *drain, uint32_t agent_id,
			      const char *name, struct agent **ret_agent);
int sasm_logdrain_watch_run(struct sasm_logdrain *drain, struct run *run);

/* Owned by nobody yet; NULL: no memory, and the fds are untouched. */
struct run *sasm_logdrain_new_run(uint32_t agent_id, uint64_t run_number,
				  int stdout_fd, int stderr_fd);

/* logdrain_life.c */
void sasm_logdrain_close_fd(int fd);
struct timespec sasm_logdrain_after_ms(clockid_t clock, uint32_t milliseconds);

/* The two threads. */
void *sasm_logdrain_loop(void *drain);
void *sasm_logdrain_spill_loop(void *drain);
