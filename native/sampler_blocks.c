/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes read from and written to disks without an io controller: task I/O accounting.
 *
 * /proc/PID/io is the sum over the process's threads, those that have ended, and the children that
 * it has waited for, with theirs (kernel/exit.c, wait_task_zombie). So a process that ends leaves
 * its bytes with the parent that waits for it, and only what nobody of the agent has waited for is
 * kept here. The sum never goes back: what a survivor's counter rose by is set against what its
 * lost descendants had, and what is left of them is added to `ended`.
 *
 * Approximate where a process ends between two readings and nobody of the agent waits for it: what
 * it did since the first is lost. As written counts what was made dirty, as proc(5) has it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal/proc_file.h"
#include "internal/sampler_state.h"

/* How far up a lost process's line is followed to a survivor. */
#define GENERATIONS_MAX 64

static int compare(const void *a, const void *b)
{
	pid_t left = ((const struct task_blocks *)a)->pid;
	pid_t right = ((const struct task_blocks *)b)->pid;

	return (left > right) - (left < right);
}

static struct task_blocks *find(struct task_blocks *tasks, size_t count, pid_t pid)
{
	struct task_blocks wanted = { .pid = pid };

	return count ? bsearch(&wanted, tasks, count, sizeof(*tasks), compare) : NULL;
}

static int read_task(int proc_fd, pid_t pid, struct task_blocks *task)
{
	char text[512];
	int code = sasm_proc_read(proc_fd, pid, "io", text, sizeof(text));

	if (code < 0)
		return code;
	task->pid = pid;
	task->read_bytes = sasm_proc_find(text, "\nread_bytes:");
	task->write_bytes = sasm_proc_find(text, "\nwrite_bytes:");
	return 0;
}

/* A process that is in no cgroup.procs but not waited for: its bytes are in no parent yet. */
static bool is_zombie(int proc_fd, const struct task_blocks *task)
{
	char text[1024];

	return sasm_proc_read(proc_fd, task->pid, "status", text, sizeof(text)) == 0 &&
	       sasm_proc_find(text, "\nPPid:") == task->parent &&
	       strstr(text, "\nState:\tZ") != NULL;
}

/* Lists who is there now: the processes, and of those before the zombies. */
static size_t read_tasks(int proc_fd, const struct processes *processes,
			 const struct blocks *before, struct task_blocks *tasks)
{
	size_t count = 0, living;

	for (size_t i = 0; i < processes->count; i++) {
		const struct process *process = &processes->items[i];

		if (process->pid > 0 && read_task(proc_fd, process->pid, &tasks[count]) == 0)
			tasks[count++].parent = process->parent;
	}
	qsort(tasks, count, sizeof(*tasks), compare);
	living = count;
	for (size_t i = 0; i < before->count; i++) {
		const struct task_blocks *old = &before->tasks[i];

		if (find(tasks, living, old->pid) || !is_zombie(proc_fd, old) ||
		    read_task(proc_fd, old->pid, &tasks[count]) < 0)
			continue;
		tasks[count++].parent = old->parent;
	}
	qsort(tasks, count, sizeof(*tasks), compare);
	return count;
}

/* The rise of a counter since before, of which nothing is spent yet. */
static void find_rises(const struct blocks *before, struct task_blocks *tasks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct task_blocks *old =
			find(before->tasks, before->count, tasks[i].pid);

		tasks[i].read_rise = tasks[i].read_bytes - (old ? old->read_bytes : 0);
		tasks[i].write_rise = tasks[i].write_bytes - (old ? old->write_bytes : 0);
	}
}

/* The nearest of its line that is still there; NULL: nobody is. */
static struct task_blocks *find_heir(const struct blocks *before, const struct task_blocks *lost,
				     struct task_blocks *tasks, size_t count)
{
	for (int i = 0; lost && i < GENERATIONS_MAX; i++) {
		struct task_blocks *heir = find(tasks, count, lost->parent);

		if (heir)
			return heir;
		lost = find(before->tasks, before->count, lost->parent);
	}
	return NULL;
}

/* What of `bytes` no rise accounts for. */
static int64_t settle(int64_t *rise, int64_t bytes)
{
	if (!rise || *rise < bytes)
		return bytes;
	*rise -= bytes;
	return 0;
}

static void take_lost(struct blocks *blocks, const struct task_blocks *lost,
		      struct task_blocks *heir)
{
	blocks->ended_read_bytes += settle(heir ? &heir->read_rise : NULL, lost->read_bytes);
	blocks->ended_write_bytes += settle(heir ? &heir->write_rise : NULL, lost->write_bytes);
}

int sasm_sampler_count_blocks(int proc_fd, const struct processes *processes,
			      struct blocks *blocks, int64_t *ret_read_bytes,
			      int64_t *ret_write_bytes)
{
	struct task_blocks *tasks = calloc(processes->count + blocks->count + 1, sizeof(*tasks));
	size_t count;

	if (!tasks)
		return -ENOMEM;
	count = read_tasks(proc_fd, processes, blocks, tasks);
	find_rises(blocks, tasks, count);
	for (size_t i = 0; i < blocks->count; i++) {
		const struct task_blocks *old = &blocks->tasks[i];
		struct task_blocks *now = find(tasks, count, old->pid);

		if (!now) {
			take_lost(blocks, old, find_heir(blocks, old, tasks, count));
		} else if (now->read_rise < 0 || now->write_rise < 0) {
			/* Another process of the same number. */
			now->read_rise = now->read_bytes;
			now->write_rise = now->write_bytes;
			take_lost(blocks, old, NULL);
		}
	}
	free(blocks->tasks);
	blocks->tasks = tasks;
	blocks->count = count;
	*ret_read_bytes = blocks->ended_read_bytes;
	*ret_write_bytes = blocks->ended_write_bytes;
	for (size_t i = 0; i < count; i++) {
		*ret_read_bytes += tasks[i].read_bytes;
		*ret_write_bytes += tasks[i].write_bytes;
	}
	return 0;
}
