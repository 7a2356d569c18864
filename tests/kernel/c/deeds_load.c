/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: deeds_load PROCS      join the cgroup of this cgroup.procs, then obey stdin
 *
 * One order per line, each answered by "done NUMBER" when all of it has happened.
 *
 *   touch N              N pages of fresh memory are written
 *   child N              a child writes N pages and exits
 *   crew T N             T threads write N pages each, and end
 *   file PATH N          N pages of the file are read through a mapping, the first time from disk
 *   calls T N            T threads call getppid N times each
 *   raw NUMBER N         calls the syscall of this number N times, whatever it answers
 *   exec PATH CODE       a child runs PATH with the argument CODE and is waited for
 *   storm N PATH         N children run PATH, one after the other
 *   listen KIND FAMILY   a socket (tcp, udp; 4, 6) on a free loopback port; answers the port
 *   accept N             takes one connection, reads it to its end, sends N bytes; answers the bytes
 *                        that came
 *   echo N               takes N datagrams and sends each back; answers their bytes
 *   send KIND FAMILY PORT N SIZE   tcp: N bytes in pieces of SIZE, then reads to the end; udp: N
 *                        datagrams of SIZE, each waited for; answers the bytes that came back
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L
#define THREADS_MAX 64

static int listener = -1;
static char buffer[65536];

static void fail(const char *step)
{
	perror(step);
	exit(1);
}

static void *touch(void *pages)
{
	long bytes = (long)pages * PAGE;
	char *fresh = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (fresh == MAP_FAILED)
		fail("mmap");
	madvise(fresh, (size_t)bytes, MADV_NOHUGEPAGE); /* one fault per page */
	for (long at = 0; at < bytes; at += PAGE)
		((volatile char *)fresh)[at] = 1;
	munmap(fresh, (size_t)bytes);
	return NULL;
}

static void *call(void *count)
{
	for (long i = 0; i < (long)count; i++)
		syscall(SYS_getppid);
	return NULL;
}

static void crew(long threads, void *(*what)(void *), long number)
{
	pthread_t ids[THREADS_MAX];

	for (long i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, what, (void *)number))
			fail("pthread_create");
	for (long i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
}

static void child(long pages, const char *path, const char *code)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (path)
			execl(path, path, code, NULL);
		touch((void *)pages);
		_exit(path ? 127 : 0);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		fail("child");
}

static void read_file(const char *path, long pages)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *mapped;

	if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		fail(path);
	mapped = mmap(NULL, (size_t)(pages * PAGE), PROT_READ, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED)
		fail("mmap");
	madvise(mapped, (size_t)(pages * PAGE), MADV_RANDOM); /* no reading ahead */
	for (long i = 0; i < pages; i++)
		(void)((volatile char *)mapped)[i * PAGE];
	munmap(mapped, (size_t)(pages * PAGE));
	close(fd);
}

static socklen_t loopback(struct sockaddr_storage *address, int family, long port)
{
	struct sockaddr_in *in = (void *)address;
	struct sockaddr_in6 *in6 = (void *)address;

	memset(address, 0, sizeof(*address));
	if (family == 4) {
		*in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
					    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		return sizeof(*in);
	}
	*in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port),
				      .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	return sizeof(*in6);
}

static int make_socket(const char *kind, int family)
{
	int type = strcmp(kind, "tcp") ? SOCK_DGRAM : SOCK_STREAM;
	int fd = socket(family == 4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket");
	return fd;
}

static long order_listen(const char *kind, int family)
{
	struct sockaddr_storage address;
	socklen_t size = loopback(&address, family, 0);

	if (listener >= 0)
		close(listener);
	listener = make_socket(kind, family);
	if (bind(listener, (void *)&address, size) ||
	    (!strcmp(kind, "tcp") && listen(listener, 8)) ||
	    getsockname(listener, (void *)&address, &size))
		fail("listen");
	/* The port lies at the same place in both families. */
	return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static long read_to_end(int fd)
{
	long total = 0;
	ssize_t bytes;

	while ((bytes = read(fd, buffer, sizeof(buffer))) > 0)
		total += bytes;
	if (bytes < 0)
		fail("read");
	return total;
}

static void write_all(int fd, long bytes, long piece)
{
	while (bytes > 0) {
		ssize_t written = write(fd, buffer, (size_t)(bytes < piece ? bytes : piece));

		if (written < 0)
			fail("write");
		bytes -= written;
	}
}

static long order_accept(long answer)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	long total;

	if (fd < 0)
		fail("accept");
	total = read_to_end(fd);
	write_all(fd, answer, sizeof(buffer));
	close(fd);
	return total;
}

static long order_echo(long datagrams)
{
	struct sockaddr_storage from;
	long total = 0;

	while (datagrams--) {
		socklen_t size = sizeof(from);
		ssize_t bytes = recvfrom(listener, buffer, sizeof(buffer), 0, (void *)&from, &size);

		if (bytes < 0 || sendto(listener, buffer, (size_t)bytes, 0, (void *)&from, size) != bytes)
			fail("echo");
		total += bytes;
	}
	return total;
}

static long order_send(const char *kind, int family, long port, long number, long size)
{
	struct sockaddr_storage address;
	socklen_t bytes = loopback(&address, family, port);
	int fd = make_socket(kind, family);
	long total = 0;

	if (connect(fd, (void *)&address, bytes))
		fail("connect");
	if (!strcmp(kind, "tcp")) {
		write_all(fd, number, size);
		shutdown(fd, SHUT_WR);
		total = read_to_end(fd);
	} else {
		while (number--) {
			write_all(fd, size, size);
			total += read(fd, buffer, sizeof(buffer));
		}
	}
	close(fd);
	return total;
}

static long obey(const char *line)
{
	char order[16], word[256] = "", code[16] = "0";
	long a = 0, b = 0, c = 0;
	int family = 0;

	if (sscanf(line, "send %15s %d %ld %ld %ld", word, &family, &a, &b, &c) == 5)
		return order_send(word, family, a, b, c);
	if (sscanf(line, "listen %15s %d", word, &family) == 2)
		return order_listen(word, family);
	if (sscanf(line, "exec %255s %15s", word, code) == 2)
		return child(0, word, code), 0;
	if (sscanf(line, "storm %ld %255s", &a, word) == 2) {
		while (a--)
			child(0, word, code);
		return 0;
	}
	if (sscanf(line, "file %255s %ld", word, &a) == 2)
		return read_file(word, a), 0;
	if (sscanf(line, "%15s %ld %ld", order, &a, &b) < 2)
		exit(3);
	if (!strcmp(order, "touch"))
		touch((void *)a);
	else if (!strcmp(order, "child"))
		child(a, NULL, NULL);
	else if (!strcmp(order, "crew"))
		crew(a, touch, b);
	else if (!strcmp(order, "calls"))
		crew(a, call, b);
	else if (!strcmp(order, "raw"))
		while (b--)
			syscall(a);
	else if (!strcmp(order, "accept"))
		return order_accept(a);
	else if (!strcmp(order, "echo"))
		return order_echo(a);
	else
		exit(3);
	return 0;
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_WRONLY | O_CLOEXEC) : -1;
	char line[300];

	if (fd < 0 || write(fd, "0", 1) != 1)
		fail("join");
	close(fd);
	for (long answer = 0;; answer = obey(line)) {
		ssize_t length;

		if (dprintf(1, "done %ld\n", answer) < 0)
			return 0;
		/* One read per order: the test writes a line at a time. */
		length = read(0, line, sizeof(line) - 1);
		if (length <= 0)
			return 0;
		line[length] = '\0';
	}
}
