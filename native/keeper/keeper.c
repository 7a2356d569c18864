// SPDX-License-Identifier: Apache-2.0
/*
 * asm-keeper: parent and subreaper of every agent. It does what must not die and nothing else:
 * gives birth on asmd's order, holds pidfds and log pipes, remembers every exit until asmd has made
 * it durable, and, where no systemd does, starts asmd again. It decides nothing.
 *
 * No heap after start, one thread, one epoll. It knows no cgroup, log or state path: descriptors
 * come with the orders. Its own death kills the agents (PDEATHSIG in asm-exec), because an agent
 * without a parent is an agent without an exit status; asmd then starts over.
 *
 * usage: asm-keeper --exec ASM-EXEC [--listen SOCKET] [--asmd-pid PID] [--asmd PROGRAM [ARGUMENT…]]
 * --asmd-pid: that asmd runs already (it started this keeper, the last one was lost); start PROGRAM
 * only when it ends. Without --listen the listening socket is descriptor 3 (LISTEN_FDS, sd_listen_fds(3)).
 */
#define _GNU_SOURCE
#include "keeper.h"

#include "channel.h"
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "asm-keeper: unable to %s: %s\n", what, strerror(error));
	exit(1);
}

long long sasm_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

int sasm_watch(struct sasm_keeper *keeper, int fd, enum sasm_source source, int index, uint32_t events)
{
	struct epoll_event event = {
		.events = events,
		.data.u64 = (uint64_t)source << 32 | (uint32_t)index,
	};

	return epoll_ctl(keeper->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

void sasm_unwatch(struct sasm_keeper *keeper, int fd)
{
	if (fd >= 0)
		epoll_ctl(keeper->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/*
 * After a shutdown that kept the agents: start asmd again. The one before may still be leaving, or
 * have left without our having looked; its status must not undo this.
 */
static void come_back(struct sasm_keeper *keeper)
{
	struct sasm_daemon *daemon = &keeper->daemon;

	if (!daemon->argv || daemon->wanted)
		return;
	daemon->wanted = true;
	daemon->comes_back = true;
	if (daemon->pid == 0)
		sasm_daemon_start(daemon, sasm_now_ms());
}

static void read_signals(struct sasm_keeper *keeper)
{
	struct signalfd_siginfo info;

	while (read(keeper->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1) {
			come_back(keeper);
		} else if (info.ssi_signo != SIGCHLD) {
			/* systemd's stop: agents go with us, by PDEATHSIG and by the unit's cgroup. */
			fprintf(stderr, "asm-keeper: leaving on signal %u\n", info.ssi_signo);
			exit(0);
		}
	}
	keeper->has_zombies = true;
}

static void drop_output(struct sasm_keeper *keeper, struct sasm_child *child, int fd)
{
	if (child->used && keeper->channel_fd < 0 && sasm_child_drop_output(child, fd))
		sasm_unwatch(keeper, fd); /* at its end it would stay readable for ever */
}

static void handle(struct sasm_keeper *keeper, uint64_t data)
{
	const enum sasm_source source = (enum sasm_source)(data >> 32);
	struct sasm_child *child = &sasm_children[(uint32_t)data % SASM_CHILDREN_MAX];

	switch (source) {
	case SIGNALS:
		read_signals(keeper);
		break;
	case LISTENER:
		sasm_accept_peer(keeper);
		break;
	case CHANNEL:
		if (keeper->channel_fd >= 0)
			sasm_read_orders(keeper);
		break;
	case DAEMON:
		/* As if killed: the status went to its parent. A wanted shutdown said QUIT before. */
		keeper->daemon.is_stranger = false;
		sasm_daemon_ended(&keeper->daemon, CLD_KILLED, 0, sasm_now_ms());
		break;
	case STATUS:
		if (child->used && sasm_child_read_status(child))
			sasm_tell(keeper, child, SASM_UNTOLD_EXECED);
		break;
	case OUTPUT_OUT:
		drop_output(keeper, child, child->stdout_fd);
		break;
	case OUTPUT_ERR:
		drop_output(keeper, child, child->stderr_fd);
		break;
	}
}

/* Whether nothing is left to do: nobody to keep, and nobody who would come back. */
static bool is_done(const struct sasm_keeper *keeper)
{
	const struct sasm_daemon *daemon = &keeper->daemon;

	return (keeper->quits || (daemon->argv && !daemon->wanted)) && daemon->pid == 0 &&
	       keeper->channel_fd < 0 && !sasm_children_live();
}

static int timeout_ms(const struct sasm_keeper *keeper)
{
	return keeper->has_zombies ? 0 : sasm_daemon_timeout_ms(&keeper->daemon, sasm_now_ms());
}

static void run(struct sasm_keeper *keeper)
{
	struct epoll_event events[128];

	while (!is_done(keeper)) {
		int count = epoll_wait(keeper->epoll_fd, events, 128, timeout_ms(keeper));

		for (int i = 0; i < count; i++)
			handle(keeper, events[i].data.u64);
		if (keeper->has_zombies)
			sasm_sweep(keeper);
		if (sasm_has_news(keeper))
			sasm_tell_news(keeper);
		if (sasm_daemon_timeout_ms(&keeper->daemon, sasm_now_ms()) == 0)
			sasm_daemon_start(&keeper->daemon, sasm_now_ms());
	}
}

static void protect_self(void)
{
	const struct rlimit files = { 65536, 65536 };
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	/* Best effort, each: a container may refuse; doctor shows what we got. */
	if (fd >= 0) {
		(void)!write(fd, "-1000", 5);
		close(fd);
	}
	(void)setrlimit(RLIMIT_NOFILE, &files);
	(void)mlockall(MCL_CURRENT);
}

/*
 * The low descriptors are a child's (spawn.c): move a listening socket that systemd put there out
 * of the way, fill the gaps, and only then open what is ours.
 */
static void open_files(struct sasm_keeper *keeper, const char *listen_path, const char *exec_path)
{
	int r;

	if (!listen_path) {
		keeper->listen_fd = fcntl(3, F_DUPFD_CLOEXEC, 64);
		if (keeper->listen_fd < 0)
			die("take descriptor 3 as the listening socket", errno);
		fcntl(keeper->listen_fd, F_SETFL, O_NONBLOCK);
	}
	r = sasm_spawn_reserve_descriptors();
	if (r < 0)
		die("reserve descriptors", -r);
	if (listen_path) {
		keeper->listen_fd = sasm_channel_listen(listen_path);
		if (keeper->listen_fd < 0)
			die("listen", -keeper->listen_fd);
	}
	keeper->exec_fd = open(exec_path, O_PATH | O_CLOEXEC);
	if (keeper->exec_fd < 0)
		die("open asm-exec", errno);
}

static void parse(struct sasm_keeper *keeper, int argc, char **argv)
{
	const char *listen_path = NULL, *exec_path = NULL;
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--listen") && i + 1 < argc) {
			listen_path = argv[++i];
		} else if (!strcmp(argv[i], "--exec") && i + 1 < argc) {
			exec_path = argv[++i];
		} else if (!strcmp(argv[i], "--asmd-pid") && i + 1 < argc) {
			keeper->daemon.pid = atoi(argv[++i]);
		} else if (!strcmp(argv[i], "--asmd") && i + 1 < argc) {
			keeper->daemon.argv = argv + i + 1;
			keeper->daemon.wanted = true;
			break;
		} else {
			fprintf(stderr, "asm-keeper: unknown argument '%s'; see asm-keeper(8)\n",
				argv[i]);
			exit(2);
		}
	}
	if (!exec_path) {
		fputs("asm-keeper: --exec is missing; see asm-keeper(8)\n", stderr);
		exit(2);
	}
	if (keeper->daemon.pid && !keeper->daemon.argv) {
		fputs("asm-keeper: --asmd-pid needs --asmd; see asm-keeper(8)\n", stderr);
		exit(2);
	}
	open_files(keeper, listen_path, exec_path);
}

/* An asmd that is not our child: its end is seen on a pidfd, its status by nobody. */
static void follow_daemon(struct sasm_keeper *keeper)
{
	int fd = (int)syscall(SYS_pidfd_open, keeper->daemon.pid, 0), r;

	if (fd < 0) {
		keeper->daemon.pid = 0;
		sasm_daemon_start(&keeper->daemon, sasm_now_ms());
		return;
	}
	keeper->daemon.pidfd = fd;
	keeper->daemon.is_stranger = true;
	keeper->daemon.started_ms = sasm_now_ms();
	r = sasm_watch(keeper, fd, DAEMON, 0, EPOLLIN);
	if (r < 0)
		die("watch asmd", -r);
}

int main(int argc, char **argv)
{
	struct sasm_keeper keeper = { .channel_fd = -1, .daemon.pidfd = -1 };
	sigset_t signals;

	/* First: whoever sees the socket may signal us. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	parse(&keeper, argc, argv);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		die("become a subreaper", errno);
	protect_self();
	keeper.signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	keeper.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (keeper.signal_fd < 0 || keeper.epoll_fd < 0 ||
	    sasm_watch(&keeper, keeper.signal_fd, SIGNALS, 0, EPOLLIN) ||
	    sasm_watch(&keeper, keeper.listen_fd, LISTENER, 0, EPOLLIN))
		die("set up the event loop", errno);
	if (keeper.daemon.pid)
		follow_daemon(&keeper);
	else if (keeper.daemon.argv)
		sasm_daemon_start(&keeper.daemon, sasm_now_ms());
	run(&keeper);
	return 0;
}
