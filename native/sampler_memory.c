/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /proc tells of a set of processes: memory by kind, threads, parents.
 *
 * /proc/PID/status adds up what each process has resident, so pages that processes share after a
 * fork are counted in each. smaps_rollup has each page's share, but walks all of the process's
 * memory. So it is read only where there is something to share, and seldom enough to stay within
 * a fiftieth of a core; in between, its last result is scaled by what status says now.
 */
#include "internal/proc_file.h"
#include "internal/sampler_state.h"

#define PSS_COST_FACTOR 50
/* When processes came or went, the scale is off: measure again sooner, within a tenth of a core. */
#define PSS_COST_FACTOR_CHANGED 10

static int64_t find_bytes(const char *text, const char *key)
{
	return sasm_proc_find(text, key) * 1024;
}

void sasm_sampler_take_census(int proc_fd, struct processes *processes, struct census *ret_census)
{
	struct census census = { 0 };
	char text[4096];

	for (size_t i = 0; i < processes->count; i++) {
		struct process *process = &processes->items[i];

		/* One that ended meanwhile has nothing. */
		if (process->pid <= 0 ||
		    sasm_proc_read(proc_fd, process->pid, "status", text, sizeof(text)) < 0)
			continue;
		process->parent = (pid_t)sasm_proc_find(text, "\nPPid:");
		census.threads += sasm_proc_find(text, "\nThreads:");
		census.rss.anonymous += find_bytes(text, "\nRssAnon:");
		census.rss.shmem += find_bytes(text, "\nRssShmem:");
		census.rss.file += find_bytes(text, "\nRssFile:");
	}
	*ret_census = census;
}

static struct memory sum_shares(int proc_fd, const struct processes *processes)
{
	struct memory shares = { 0 };
	char text[4096];

	for (size_t i = 0; i < processes->count; i++) {
		pid_t pid = processes->items[i].pid;

		if (pid <= 0 || sasm_proc_read(proc_fd, pid, "smaps_rollup", text, sizeof(text)) < 0)
			continue;
		shares.anonymous += find_bytes(text, "\nPss_Anon:");
		shares.shmem += find_bytes(text, "\nPss_Shmem:");
		shares.file += find_bytes(text, "\nPss_File:");
	}
	return shares;
}

static bool is_pss_due(const struct pss *pss, size_t processes, int64_t now_us)
{
	int64_t age_us = now_us - pss->measured_us;

	if (!pss->measured_us || age_us >= PSS_COST_FACTOR * pss->cost_us)
		return true;
	return processes != pss->processes && age_us >= PSS_COST_FACTOR_CHANGED * pss->cost_us;
}

/* What was `share` of `rss_then` is so much of `rss_now`. */
static int64_t scale(int64_t share, int64_t rss_then, int64_t rss_now)
{
	return rss_then ? (int64_t)((__int128)share * rss_now / rss_then) : rss_now;
}

struct memory sasm_sampler_share_memory(int proc_fd, const struct processes *processes,
					const struct memory *rss, struct pss *pss, bool is_due,
					int64_t now_us, enum sasm_memory_source *ret_source)
{
	*ret_source = SASM_MEMORY_RSS;
	if (processes->count < 2 || rss->anonymous + rss->shmem <= PSS_FROM_BYTES)
		return *rss;
	if (is_due || is_pss_due(pss, processes->count, now_us)) {
		int64_t begun_us = sasm_sampler_clock_us();

		pss->shares = sum_shares(proc_fd, processes);
		pss->rss = *rss;
		pss->processes = processes->count;
		pss->measured_us = now_us;
		pss->cost_us = sasm_sampler_clock_us() - begun_us;
	}
	*ret_source = SASM_MEMORY_PSS;
	return (struct memory){
		.anonymous = scale(pss->shares.anonymous, pss->rss.anonymous, rss->anonymous),
		.shmem = scale(pss->shares.shmem, pss->rss.shmem, rss->shmem),
		.file = scale(pss->shares.file, pss->rss.file, rss->file),
	};
}
