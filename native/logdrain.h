/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log drain: agents' stdout and stderr pipes into one file per agent.
 *
 * One thread (epoll) reads the pipes, writes CRI records (logline.h) and
 * rotates. It reads at most SASM_LOGDRAIN_READ_BYTES of a pipe before every
 * other readable pipe has had its turn, so a huge writer starves nobody.
 *
 * A second thread sleeps unless the disk hangs: when one file operation has
 * taken SASM_LOGDRAIN_STALL_MS it drains all pipes itself, drops what it
 * reads and counts it, until the disk answers. So a disk, whatever it does,
 * blocks an agent's write(2) for at most about that long (and only once the
 * agent's own pipe is full).
 *
 * No call here touches the disk: the caller never waits for it, except where
 * a bound is named. All calls are thread-safe but open, start and close.
 * All return 0 or -errno. Memory: a fixed buffer per stream, 33 KiB a run.
 *
 * Declarations only: this file is included and given to cffi's cdef.
 */

#define SASM_LOGDRAIN_READ_BYTES 65536

/* A line without its newline is written as P after this silence. */
#define SASM_LOGDRAIN_SILENCE_MS 100

/* ... and, from a stream that dribbles, when it is this old. */
#define SASM_LOGDRAIN_DRIBBLE_MS 1000

/* Ten times what a busy disk's write takes, a tenth of a watchdog's time. */
#define SASM_LOGDRAIN_STALL_MS 1000

/* Bound of sasm_logdrain_offset() and sasm_logdrain_close(). */
#define SASM_LOGDRAIN_OFFSET_MS 1000
#define SASM_LOGDRAIN_CLOSE_MS 5000

/*
 * Runs of one agent whose pipes may be open at once. More than two are seen
 * only when an agent hands its stdout to strangers; the oldest is then cut.
 */
#define SASM_LOGDRAIN_RUNS_MAX 8

/* Smaller files than this would rotate at every line. */
#define SASM_LOGDRAIN_FILE_BYTES_MIN 4096

struct sasm_logdrain;

/*
 * Per agent, since its first add. The agent's bytes are either in the files,
 * or dropped, or still pending (at most 16 KiB a stream).
 */
struct sasm_logdrain_counters {
	uint64_t bytes_in;	/* read from the pipes, dropped ones included */
	uint64_t lines;		/* newlines among them */
	uint64_t dropped_bytes;
	uint64_t dropped_lines;
	uint64_t last_output_us; /* CLOCK_BOOTTIME; 0: none yet */
	uint64_t rotations;
	uint64_t file_bytes;	/* size of the current file */
	uint64_t run_offset_bytes; /* its size when the last run was added */
	int32_t error;		/* errno in force, 0: the file can be written */
	uint32_t open_runs;
};

/* A run whose two pipes have reached EOF and are wholly written. */
struct sasm_logdrain_ended {
	uint64_t run;
	uint32_t agent_id;
	uint32_t reserved;
};

/*
 * directory_fd is duplicated. group_id: the files' group; UINT32_MAX leaves
 * owner and group alone.
 */
int sasm_logdrain_open(int directory_fd, uint32_t group_id,
		       struct sasm_logdrain **ret_drain);

int sasm_logdrain_start(struct sasm_logdrain *drain);

/*
 * Writes pending partial lines, stops both threads, closes all fds, frees
 * the handle. Accepts NULL. What is still in the pipes stays there for the
 * next reader. -ETIMEDOUT: the disk hangs; nothing was freed.
 */
int sasm_logdrain_close(struct sasm_logdrain *drain);

/*
 * Drains a run's pipes into `<name>.log`. The two fds are the drain's from
 * this call on, also when it fails; -1 stands for a stream that is not there.
 * EINVAL name or bound, EEXIST run already here, or the name in use by
 * another agent with open runs, EBUSY another name while runs are open.
 */
int sasm_logdrain_add(struct sasm_logdrain *drain, uint32_t agent_id,
		      uint64_t run, const char *name, int stdout_fd,
		      int stderr_fd, uint64_t max_bytes, uint32_t files);

/*
 * The run is over although a stranger may still hold its pipes: takes what
 * is in them now, closes them, reports the run as ended. ESRCH: not open.
 */
int sasm_logdrain_finish(struct sasm_logdrain *drain, uint32_t agent_id,
			 uint64_t run);

/* Forgets an agent: as finish for all its runs, but nothing is reported. */
int sasm_logdrain_remove(struct sasm_logdrain *drain, uint32_t agent_id);

/* An eventfd, the drain's own, readable while ended runs wait. */
int sasm_logdrain_finished_fd(const struct sasm_logdrain *drain);

/* Takes up to `capacity` ended runs, oldest first; returns how many. */
int sasm_logdrain_take_finished(struct sasm_logdrain *drain,
				struct sasm_logdrain_ended *ret_ended,
				int capacity);

/*
 * The current size of the agent's file, and where in it the output of the
 * run that was added last begins. Waits until the file has been
 * opened, at most SASM_LOGDRAIN_OFFSET_MS (ETIMEDOUT). ESRCH: unknown.
 */
int sasm_logdrain_offset(struct sasm_logdrain *drain, uint32_t agent_id,
			 uint64_t *ret_offset, uint64_t *ret_run_offset);

int sasm_logdrain_read_counters(struct sasm_logdrain *drain, uint32_t agent_id,
				struct sasm_logdrain_counters *ret_counters);

/*
 * Waits until all that was readable when it was called is written, partial
 * lines included; at most timeout_ms (ETIMEDOUT).
 */
int sasm_logdrain_flush(struct sasm_logdrain *drain, uint32_t timeout_ms);
