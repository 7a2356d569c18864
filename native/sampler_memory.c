/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory without a controller: anonymous and shmem pages of a set of processes.
 *
 * /proc/PID/status adds up what each process has resident, so pages that processes share after a
 * fork are counted in each. smaps_rollup has each page's share, but walks all of the process's
 * memory. So it is read only where there is something to share, and seldom enough to stay within
 * a fiftieth of a core; in between, its last result is scaled by what status says now.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal/sampler_state.h"

#define PSS_COST_FACTOR 50
/* When processes came or went, the scale is off: measure again sooner, within a tenth of a core. */
#define PSS_COST_FACTOR_CHANGED 10

static int read_proc(int proc_fd, pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "%d/%s", pid, name);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	length = read(fd, text, size - 1);
	if (length < 0)
		length = -errno;
	close(fd);
	if (length < 0)
		return (int)length;
	text[length] = '\0';
	return 0;
}

/* The value of a line "\nKey:   123 kB" in bytes; 0 where there is none (a kernel thread). */
static int64_t find_kilobytes(const char *text, const char *key)
{
	const char *line = strstr(text, key);

	return line ? strtoll(line + strlen(key), NULL, 10) * 1024 : 0;
}

static int64_t sum(int proc_fd, const struct pids *pids, const char *file, const char *anonymous,
		   const char *shmem)
{
	char text[4096];
	int64_t total = 0;

	for (size_t i = 0; i < pids->count; i++) {
		/* One that ended meanwhile has no memory. */
		if (pids->pids[i] <= 0 ||
		    read_proc(proc_fd, pids->pids[i], file, text, sizeof(text)) < 0)
			continue;
		total += find_kilobytes(text, anonymous) + find_kilobytes(text, shmem);
	}
	return total;
}

static bool is_pss_due(const struct pss *pss, size_t processes, int64_t now_us)
{
	int64_t age_us = now_us - pss->measured_us;

	if (!pss->measured_us || age_us >= PSS_COST_FACTOR * pss->cost_us)
		return true;
	return processes != pss->processes && age_us >= PSS_COST_FACTOR_CHANGED * pss->cost_us;
}

int64_t sasm_sampler_measure_memory(int proc_fd, const struct pids *pids, struct pss *pss,
				    bool is_due, int64_t now_us,
				    enum sasm_memory_source *ret_source)
{
	int64_t rss_bytes = sum(proc_fd, pids, "status", "\nRssAnon:", "\nRssShmem:");

	if (pids->count < 2 || rss_bytes <= PSS_FROM_BYTES) {
		*ret_source = SASM_MEMORY_RSS;
		return rss_bytes;
	}
	if (is_due || is_pss_due(pss, pids->count, now_us)) {
		int64_t begun_us = sasm_sampler_clock_us();

		pss->bytes = sum(proc_fd, pids, "smaps_rollup", "\nPss_Anon:", "\nPss_Shmem:");
		pss->rss_bytes = rss_bytes;
		pss->processes = pids->count;
		pss->measured_us = now_us;
		pss->cost_us = sasm_sampler_clock_us() - begun_us;
	}
	*ret_source = SASM_MEMORY_PSS;
	return (int64_t)((__int128)pss->bytes * rss_bytes / pss->rss_bytes);
}
