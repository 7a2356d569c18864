// SPDX-License-Identifier: Apache-2.0
/*
 * clone3(VM | VFORK | FILES | PIDFD | INTO_CGROUP | CLEAR_SIGHAND): no page table is copied, no
 * descriptor table is copied, and there is no moment at which the child is outside its cgroup.
 *
 * The child shares our memory until execveat and our descriptor table until its close_range with
 * CLOSE_RANGE_UNSHARE, which copies only the first nine slots: so a birth costs the same with one
 * agent as with four thousand. Those slots are reserved here for good, and filled before each
 * clone. The keeper has one thread and is suspended meanwhile (CLONE_VFORK), so nobody else sees
 * them. The system call is inlined: a function that returned in the child would take the parent's
 * return address from the shared stack.
 *
 * Sources: clone(2), close_range(2), Documentation/admin-guide/cgroup-v2.rst.
 */
#define _GNU_SOURCE
#include "spawn.h"

#include "../exec/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_CLEAR_SIGHAND /* linux/sched.h of 5.5; glibc 2.36's sched.h hides it */
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

#define CLONE_FAST (CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND)

static __always_inline long clone3_inline(struct clone_args *args, size_t size)
{
	long r;

	asm volatile("syscall"
		     : "=a"(r)
		     : "0"(SYS_clone3), "D"(args), "S"(size)
		     : "rcx", "r11", "memory");
	return r;
}

int sasm_spawn_reserve_descriptors(void)
{
	for (int fd = 0; fd < SASM_EXEC_FD_NUM; fd++) {
		int null;

		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		/* open(2) gives the lowest free number, which is fd: all below are taken. */
		null = open("/dev/null", O_RDWR);
		if (null < 0)
			return -errno;
	}
	return 0;
}

static int fill_descriptors(int program_fd, const int fds[SASM_SPAWN_FD_NUM], int status)
{
	const int sources[SASM_EXEC_FD_NUM] = {
		[SASM_EXEC_FD_SPEC] = fds[SASM_SPAWN_SPEC],
		[SASM_EXEC_FD_STDOUT] = fds[SASM_SPAWN_STDOUT],
		[SASM_EXEC_FD_STDERR] = fds[SASM_SPAWN_STDERR],
		[SASM_EXEC_FD_STATUS] = status,
		[SASM_EXEC_FD_SELF] = program_fd,
		/* Without a gate, what can be read by nobody (O_PATH): asm-exec knows it by that. */
		[SASM_EXEC_FD_GATE] = fds[SASM_SPAWN_GATE] < 0 ? program_fd : fds[SASM_SPAWN_GATE],
	};

	for (int fd = SASM_EXEC_FD_SPEC; fd < SASM_EXEC_FD_NUM; fd++)
		if (dup3(sources[fd], fd, fd == SASM_EXEC_FD_SELF ? O_CLOEXEC : 0) < 0)
			return -errno;
	return 0;
}

/* Let go of what the child was given: a write end kept here would hide the end of a pipe. */
static void blank_descriptors(int program_fd)
{
	for (int fd = SASM_EXEC_FD_SPEC; fd < SASM_EXEC_FD_NUM; fd++)
		dup3(program_fd, fd, O_CLOEXEC);
}

static char *exec_argv[] = { "asm-exec", NULL };
static char *exec_envp[] = { NULL };

/* Not inlined, so that the child's writes can touch no local of a caller. */
static __attribute__((noinline)) int clone_and_exec(struct clone_args *args, pid_t *ret_pid)
{
	volatile int exec_errno = 0;
	long pid = clone3_inline(args, sizeof(*args));

	if (pid == 0) {
		if (syscall(SYS_close_range, SASM_EXEC_FD_NUM, ~0U, CLOSE_RANGE_UNSHARE) == 0)
			syscall(SYS_execveat, SASM_EXEC_FD_SELF, "", exec_argv, exec_envp,
				AT_EMPTY_PATH);
		exec_errno = errno;
		_exit(127);
	}
	if (pid < 0)
		return (int)pid;
	*ret_pid = (pid_t)pid;
	return -exec_errno;
}

int sasm_spawn(int program_fd, const int fds[SASM_SPAWN_FD_NUM], struct sasm_birth *ret)
{
	int pidfd = -1, status[2], r;
	pid_t pid = 0;
	struct clone_args args = {
		.flags = CLONE_FAST | CLONE_FILES | CLONE_INTO_CGROUP,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)fds[SASM_SPAWN_CGROUP],
	};

	if (pipe2(status, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	r = fill_descriptors(program_fd, fds, status[1]);
	close(status[1]);
	if (r == 0)
		r = clone_and_exec(&args, &pid);
	blank_descriptors(program_fd);
	if (pid == 0) {
		close(status[0]);
		return r < 0 ? r : -EAGAIN;
	}
	/* From here a process exists, even if asm-exec could not start: its exit (127) follows. */
	*ret = (struct sasm_birth){ pid, pidfd, status[0], r };
	return 0;
}

int sasm_spawn_daemon(char *const argv[], pid_t *ret_pid, int *ret_pidfd)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		syscall(SYS_close_range, 3, ~0U, 0);
		execv(argv[0], argv);
		_exit(127);
	}
	*ret_pid = (pid_t)pid;
	*ret_pidfd = pidfd;
	return 0;
}
