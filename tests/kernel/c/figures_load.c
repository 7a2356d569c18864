/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: figures_load PROCS     join the cgroup of this cgroup.procs, then obey stdin
 *
 * One order per line, answered by one line "done" when all of it has happened; what an order makes
 * stays until the program ends. For figures that are not counted by syscall (counting_load.c is
 * for those).
 *
 *   workers BYTES N      holds so much anonymous memory, and N children that have read it
 *   threads N            N threads that sleep
 *   sockets N            N sockets of TCP, a pair of Unix sockets, and a child that shares them all
 *   write BYTES PATH     writes a new file and waits until it is on the disk
 *   read BYTES PATH      reads it from the disk, past the page cache
 *   child BYTES PATH     a child does a write, and ends when it is told to by `end`
 *   orphan BYTES PATH    the same by a grandchild, whose parent has gone
 *   end                  lets it end; a child is a zombie then
 *   reap                 waits for the child
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK (1 << 20)

static int go[2], gone[2];

static void check(bool holds, const char *step)
{
	if (holds)
		return;
	perror(step);
	exit(1);
}

static void sleep_for_ever(void)
{
	for (;;)
		pause();
}

static void order_workers(size_t bytes, long children)
{
	char *held = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ready[2];
	char one = 1;

	check(held != MAP_FAILED && pipe(ready) == 0, "workers");
	memset(held, 1, bytes);
	for (long i = 0; i < children; i++) {
		if (fork())
			continue;
		for (size_t at = 0; at < bytes; at += 4096)
			(void)*(volatile char *)&held[at];
		check(write(ready[1], &one, 1) == 1, "ready");
		sleep_for_ever();
	}
	while (children--)
		check(read(ready[0], &one, 1) == 1, "ready");
}

static void *sleep_in_thread(void *none)
{
	sleep_for_ever();
	return none;
}

static void order_threads(long count)
{
	pthread_t thread;

	while (count--)
		check(pthread_create(&thread, NULL, sleep_in_thread, NULL) == 0, "thread");
}

static void order_sockets(long count)
{
	int pair[2];

	while (count--)
		check(socket(AF_INET, SOCK_STREAM, 0) >= 0, "socket");
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	if (fork() == 0)
		sleep_for_ever();
}

static void move(bool is_write, size_t bytes, const char *path)
{
	int fd = open(path, is_write ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY | O_DIRECT, 0600);
	void *block = NULL;

	check(fd >= 0 && posix_memalign(&block, 4096, BLOCK) == 0, path);
	memset(block, 1, BLOCK);
	for (size_t done = 0; done < bytes; done += BLOCK)
		check((is_write ? write(fd, block, BLOCK) : read(fd, block, BLOCK)) == BLOCK,
		      is_write ? "write" : "read");
	check(!is_write || fsync(fd) == 0, "fsync");
	close(fd);
	free(block);
}

static void order_child(size_t bytes, const char *path, bool is_orphan)
{
	char one = 1;

	check(pipe(go) == 0 && pipe(gone) == 0, "pipe");
	if (fork() == 0) {
		if (is_orphan && fork())
			_exit(0);
		close(gone[0]);
		move(true, bytes, path);
		check(write(gone[1], &one, 1) == 1, "written");
		_exit(read(go[0], &one, 1) != 1);
	}
	close(gone[1]);
	if (is_orphan)
		wait(NULL);
	check(read(gone[0], &one, 1) == 1, "written");
}

/* The pipe's end closes when the grandchild is gone. */
static void order_end(void)
{
	char one = 1;

	check(write(go[1], &one, 1) == 1, "go");
	while (read(gone[0], &one, 1) != 0)
		;
	close(gone[0]);
	close(go[0]);
	close(go[1]);
}

static bool obey(const char *order, long amount, const char *word)
{
	if (!strcmp(order, "workers"))
		order_workers((size_t)amount, atol(word));
	else if (!strcmp(order, "threads"))
		order_threads(amount);
	else if (!strcmp(order, "sockets"))
		order_sockets(amount);
	else if (!strcmp(order, "write") || !strcmp(order, "read"))
		move(order[0] == 'w', (size_t)amount, word);
	else if (!strcmp(order, "reap"))
		check(wait(NULL) > 0, "wait");
	else if (!strcmp(order, "child") || !strcmp(order, "orphan"))
		order_child((size_t)amount, word, order[0] == 'o');
	else if (!strcmp(order, "end"))
		order_end();
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	char line[512], order[32], word[400];
	int fd;

	if (argc != 2)
		return 2;
	fd = open(argv[1], O_WRONLY | O_CLOEXEC);
	check(fd >= 0 && write(fd, "0", 1) == 1, argv[1]);
	close(fd);
	for (;;) {
		long amount = 0;
		ssize_t length;

		if (write(1, "done\n", 5) != 5)
			return 0;
		length = read(0, line, sizeof(line) - 1);
		if (length <= 0)
			return 0;
		line[length] = '\0';
		word[0] = '\0';
		if (sscanf(line, "%31s %ld %399s", order, &amount, word) < 1 ||
		    !obey(order, amount, word))
			return 3;
	}
}
