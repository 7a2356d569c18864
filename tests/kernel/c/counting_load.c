/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: counting_load PROCS     join the cgroup of this cgroup.procs, then obey stdin
 *        counting_load exit N    exit with N at once (what `exec` runs)
 *
 * One order per line, answered by one line "done" when all of it has happened. Between two answers
 * an order makes the same syscalls each time, but for those that its number asks for: so a test
 * takes the difference of two runs.
 *
 *   calls N          getppid N times
 *   orphan N         the same in a grandchild of a session of its own, whose parent is gone
 *   pool T, run N, pool 0    T threads that spin; each makes N calls; they end
 *   fork N CODE      N processes, one after the other, that exit with CODE
 *   kill N           N processes that SIGKILL themselves
 *   exec N CODE      N processes that exec this program, which exits with CODE
 *   crowd N T        N processes of T threads that all end at the same time
 *   group N T        N processes of T threads that one of them ends by exit_group
 *   threadexec N     N processes in which a second thread execs
 *   spin MS T        T threads use MS ms of CPU time each
 *   memory BYTES     holds so much anonymous memory from now on, instead of what it held
 *   share BYTES N    holds so much shared memory, and N children that have read it
 *   write N          N calls of write, one byte each
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64

static const char *self = "/proc/self/exe";
static atomic_long order_number, order_calls, finished;
static long pool_size;
static pthread_t pool[THREADS_MAX];
static pthread_barrier_t gate;
static char *held;
static size_t held_bytes;

static void fail(const char *step)
{
	perror(step);
	exit(1);
}

static void make_calls(long count)
{
	for (long i = 0; i < count; i++)
		syscall(SYS_getppid);
}

/* The pipe's end closes when the grandchild is gone. */
static void order_orphan(long count)
{
	int ends[2];
	char none;
	pid_t pid;

	if (pipe(ends))
		fail("pipe");
	pid = fork();
	if (pid == 0) {
		if (fork())
			_exit(0);
		setsid();
		close(ends[0]);
		make_calls(count);
		_exit(0);
	}
	close(ends[1]);
	waitpid(pid, NULL, 0);
	while (read(ends[0], &none, 1) != 0)
		;
	close(ends[0]);
}

/* Waits without a syscall, so that the number of calls does not depend on the scheduler. */
static void *work(void *none)
{
	long seen = 0;

	for (;;) {
		while (atomic_load(&order_number) == seen)
			__builtin_ia32_pause();
		seen = atomic_load(&order_number);
		if (atomic_load(&order_calls) < 0)
			return none;
		make_calls(atomic_load(&order_calls));
		atomic_fetch_add(&finished, 1);
	}
}

static void order_run(long count)
{
	atomic_store(&finished, 0);
	atomic_store(&order_calls, count);
	atomic_fetch_add(&order_number, 1);
	while (count >= 0 && atomic_load(&finished) < pool_size)
		__builtin_ia32_pause();
}

static void order_pool(long threads)
{
	if (threads == 0)
		order_run(-1);
	while (threads == 0 && pool_size)
		pthread_join(pool[--pool_size], NULL);
	atomic_store(&order_number, 0);
	for (; pool_size < threads; pool_size++)
		pthread_create(&pool[pool_size], NULL, work, NULL);
}

static void *exec_self(void *none)
{
	execl(self, self, "exit", "0", NULL);
	return none;
}

static void *meet_and_end(void *none)
{
	pthread_barrier_wait(&gate);
	syscall(SYS_exit, 0); /* of this thread, past libc's bookkeeping: as close together as can be */
	return none;
}

static void *sleep_long(void *none)
{
	pause();
	return none;
}

static void start_threads(long count, void *(*what)(void *))
{
	pthread_t thread;

	for (long i = 0; i < count; i++)
		if (pthread_create(&thread, NULL, what, NULL))
			_exit(99);
}

static void be_child(const char *order, long number, const char *code)
{
	if (!strcmp(order, "kill"))
		kill(getpid(), SIGKILL);
	if (!strcmp(order, "exec"))
		execl(self, self, "exit", code, NULL);
	if (!strcmp(order, "crowd")) {
		pthread_barrier_init(&gate, NULL, (unsigned int)number);
		start_threads(number - 1, meet_and_end);
		meet_and_end(NULL);
	}
	if (!strcmp(order, "group")) {
		start_threads(number - 1, sleep_long);
		_exit(0);
	}
	if (!strcmp(order, "threadexec")) {
		start_threads(1, exec_self);
		pause();
	}
	_exit((int)number);
}

static void order_children(const char *order, long count, long number, const char *code)
{
	for (long i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid == 0)
			be_child(order, number, code);
		if (pid < 0)
			fail("fork");
		waitpid(pid, NULL, 0);
	}
}

static void *spin(void *milliseconds)
{
	struct timespec used;

	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < (long)milliseconds);
	return NULL;
}

static void order_spin(long milliseconds, long threads)
{
	pthread_t spinning[THREADS_MAX];

	for (long i = 0; i < threads; i++)
		pthread_create(&spinning[i], NULL, spin, (void *)milliseconds);
	for (long i = 0; i < threads; i++)
		pthread_join(spinning[i], NULL);
}

static void hold(size_t bytes, int flags)
{
	if (held)
		munmap(held, held_bytes);
	held_bytes = bytes;
	held = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	memset(held, 1, bytes);
}

static void order_share(size_t bytes, long children)
{
	int ready[2];
	char one = 1;

	hold(bytes, MAP_SHARED);
	if (pipe(ready))
		fail("pipe");
	for (long i = 0; i < children; i++) {
		if (fork())
			continue;
		for (size_t at = 0; at < bytes; at += 4096)
			(void)*(volatile char *)&held[at];
		if (write(ready[1], &one, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	while (children--)
		if (read(ready[0], &one, 1) != 1)
			fail("read");
}

static void order_write(long count)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	for (long i = 0; i < count; i++)
		if (write(fd, "", 1) != 1)
			fail("write");
	close(fd);
}

static bool obey(const char *order, long a, long b, const char *word)
{
	if (!strcmp(order, "calls"))
		make_calls(a);
	else if (!strcmp(order, "orphan"))
		order_orphan(a);
	else if (!strcmp(order, "pool"))
		order_pool(a);
	else if (!strcmp(order, "run"))
		order_run(a);
	else if (!strcmp(order, "spin"))
		order_spin(a, b);
	else if (!strcmp(order, "memory"))
		hold((size_t)a, MAP_PRIVATE);
	else if (!strcmp(order, "share"))
		order_share((size_t)a, b);
	else if (!strcmp(order, "write"))
		order_write(a);
	else if (strstr("fork kill exec crowd group threadexec", order))
		order_children(order, a, b, word);
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	char line[256], order[32], word[32];
	int fd;

	if (argc == 3 && !strcmp(argv[1], "exit"))
		return atoi(argv[2]);
	if (argc != 2)
		return 2;
	fd = open(argv[1], O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		fail(argv[1]);
	close(fd);
	for (;;) {
		long a = 0;
		ssize_t length;

		if (write(1, "done\n", 5) != 5)
			return 0;
		/* One read per order: the test writes a line at a time. */
		length = read(0, line, sizeof(line) - 1);
		if (length <= 0)
			return 0;
		line[length] = '\0';
		strcpy(word, "0");
		if (sscanf(line, "%31s %ld %31s", order, &a, word) < 1 ||
		    !obey(order, a, atol(word), word))
			return 3;
	}
}
