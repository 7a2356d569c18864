// SPDX-License-Identifier: Apache-2.0
/*
 * asm-exec: the last step before an agent. Takes away what the keeper had, gives what the spec says,
 * and becomes the agent's program.
 *
 * It is born by clone3 inside the agent's cgroup with signal handlers cleared and nine descriptors
 * (spec.h). Everything inherited that would be wrong in an agent is reset here: session, OOM score
 * (the keeper's is -1000), nice, rlimits, umask, signal mask, capabilities, groups, user. The order
 * matters and each step says why. On failure it writes {stage, errno} to the status pipe and exits
 * 127; on success the pipe closes by O_CLOEXEC, and its reader knows.
 *
 * All this may be done while asmd still makes the start durable. Then there is a gate, and the program
 * is executed when it opens: nothing of the agent's own runs before its record is on the disk.
 *
 * Static, no allocation: the spec is mapped privately and its strings are used in place.
 */
#define _GNU_SOURCE
#include "spec.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capabilities.h"

struct spec {
	const struct sasm_exec_header *header;
	const uint32_t *groups;
	const struct sasm_exec_rlimit *rlimits;
	char *program;
	char *working_directory;
	char **argv;
	char **envp;
};

/* argv and envp with their terminating NULLs; static, so that nothing is allocated. */
static char *vectors[SASM_EXEC_STRINGS_MAX + 2];

static _Noreturn void fail(enum sasm_exec_stage stage)
{
	const struct sasm_exec_failure failure = { .stage = stage, .error = errno };

	/* Nobody to tell if this fails: the keeper then sees a bare exit 127. */
	(void)!write(SASM_EXEC_FD_STATUS, &failure, sizeof(failure));
	_exit(127);
}

/* Cut the next NUL-terminated string off [*cursor, end); NULL when there is none. */
static char *next_string(char **cursor, char *end)
{
	char *start = *cursor;
	char *nul = start < end ? memchr(start, 0, (size_t)(end - start)) : NULL;

	if (!nul)
		return NULL;
	*cursor = nul + 1;
	return start;
}

static int split_strings(struct spec *spec, char *cursor, char *end)
{
	const uint32_t argc = spec->header->argument_count;
	const uint32_t envc = spec->header->environment_count;

	if (argc == 0 || argc > SASM_EXEC_STRINGS_MAX || envc > SASM_EXEC_STRINGS_MAX - argc)
		return -E2BIG;
	spec->program = next_string(&cursor, end);
	spec->working_directory = next_string(&cursor, end);
	if (!spec->program || !spec->working_directory)
		return -EINVAL;
	spec->argv = vectors;
	spec->envp = vectors + argc + 1;
	for (uint32_t i = 0; i < argc; i++) {
		spec->argv[i] = next_string(&cursor, end);
		if (!spec->argv[i])
			return -EINVAL;
	}
	for (uint32_t i = 0; i < envc; i++) {
		spec->envp[i] = next_string(&cursor, end);
		if (!spec->envp[i])
			return -EINVAL;
	}
	/* A rest means that the counts are wrong, and then so are the strings that we took. */
	return cursor == end ? 0 : -EINVAL;
}

static int read_spec(struct spec *ret_spec)
{
	struct stat st;
	struct spec spec = { 0 };
	char *base;
	uint64_t fixed;

	if (fstat(SASM_EXEC_FD_SPEC, &st))
		return -errno;
	if (st.st_size < (off_t)sizeof(*spec.header) || st.st_size > SASM_EXEC_SPEC_BYTES_MAX)
		return -EINVAL;
	/* Private and writable: execve wants non-const strings, and lives may share the file. */
	base = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		    SASM_EXEC_FD_SPEC, 0);
	if (base == MAP_FAILED)
		return -errno;
	spec.header = (const struct sasm_exec_header *)base;
	if (spec.header->magic != SASM_EXEC_MAGIC || spec.header->version != SASM_EXEC_VERSION ||
	    spec.header->total_bytes != (uint64_t)st.st_size)
		return -EPROTO;
	if (spec.header->group_count > SASM_EXEC_GROUPS_MAX ||
	    spec.header->rlimit_count > SASM_EXEC_RLIMITS_MAX)
		return -E2BIG;
	fixed = sizeof(*spec.header) + spec.header->rlimit_count * sizeof(*spec.rlimits) +
		spec.header->group_count * sizeof(*spec.groups);
	if (fixed + spec.header->strings_bytes != (uint64_t)st.st_size)
		return -EPROTO;
	/* rlimits first: they hold 64-bit fields and the header is a multiple of eight. */
	spec.rlimits = (const struct sasm_exec_rlimit *)(base + sizeof(*spec.header));
	spec.groups = (const uint32_t *)(spec.rlimits + spec.header->rlimit_count);
	*ret_spec = spec;
	return split_strings(ret_spec, base + fixed, base + st.st_size);
}

static void set_oom_score(int score)
{
	char text[12];
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	int length = 0, value = score < 0 ? -score : score;
	char digits[11];
	int count = 0;

	if (fd < 0)
		fail(SASM_EXEC_STAGE_OOM_SCORE);
	do
		digits[count++] = (char)('0' + value % 10);
	while (value /= 10);
	if (score < 0)
		text[length++] = '-';
	while (count)
		text[length++] = digits[--count];
	/* Protecting (below zero) takes CAP_SYS_RESOURCE, which containers lack: then go unprotected. */
	if (write(fd, text, (size_t)length) != length && !(score < 0 && errno == EACCES))
		fail(SASM_EXEC_STAGE_OOM_SCORE);
	close(fd);
}

static rlim_t lesser(rlim_t a, rlim_t b)
{
	return a < b ? a : b;
}

/* A limit above what we have ourselves takes CAP_SYS_RESOURCE; without it the agent gets ours. */
static void set_rlimit(const struct sasm_exec_rlimit *wanted)
{
	struct rlimit limit = { wanted->soft, wanted->hard }, ours;

	if (setrlimit((int)wanted->resource, &limit) == 0)
		return;
	if (errno != EPERM || getrlimit((int)wanted->resource, &ours))
		fail(SASM_EXEC_STAGE_RLIMIT);
	limit.rlim_max = lesser(limit.rlim_max, ours.rlim_max);
	limit.rlim_cur = lesser(limit.rlim_cur, limit.rlim_max);
	if (setrlimit((int)wanted->resource, &limit))
		fail(SASM_EXEC_STAGE_RLIMIT);
}

static void set_limits(const struct spec *spec)
{
	set_oom_score(spec->header->oom_score_adj);
	if (setpriority(PRIO_PROCESS, 0, spec->header->nice))
		fail(SASM_EXEC_STAGE_NICE);
	/* Last: a low RLIMIT_NOFILE would refuse us the descriptors of the steps before. */
	for (uint32_t i = 0; i < spec->header->rlimit_count; i++)
		set_rlimit(&spec->rlimits[i]);
}

static void become(const struct spec *spec, pid_t keeper)
{
	const struct sasm_exec_header *header = spec->header;

	/* While still privileged: the bounding set is what a later setuid program could win back. */
	if (sasm_drop_bounding_set(header->capabilities))
		fail(SASM_EXEC_STAGE_CAPABILITIES);
	/* Kept capabilities must survive the change of user; without any the kernel clears them. */
	if (header->capabilities && prctl(PR_SET_KEEPCAPS, 1))
		fail(SASM_EXEC_STAGE_CAPABILITIES);
	if (setgroups(header->group_count, spec->groups) ||
	    setresgid(header->gid, header->gid, header->gid))
		fail(SASM_EXEC_STAGE_GROUP);
	if (setresuid(header->uid, header->uid, header->uid))
		fail(SASM_EXEC_STAGE_USER);
	if (sasm_set_capabilities(header->capabilities))
		fail(SASM_EXEC_STAGE_CAPABILITIES);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fail(SASM_EXEC_STAGE_CAPABILITIES);
	/* After the change of user, which clears it (prctl(2)). The second line behind asmd's own kill. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		fail(SASM_EXEC_STAGE_SESSION);
	/* A death before that call signals nobody. */
	if (getppid() != keeper)
		_exit(127);
}

static void connect_stdio(void)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(SASM_EXEC_FD_STDOUT, STDOUT_FILENO) < 0 ||
	    dup2(SASM_EXEC_FD_STDERR, STDERR_FILENO) < 0)
		fail(SASM_EXEC_STAGE_STDIO);
	/* From here on only 0, 1 and 2 outlive the exec; the status pipe tells by closing. */
	if (syscall(SYS_close_range, SASM_EXEC_FD_SPEC, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */))
		fail(SASM_EXEC_STAGE_STDIO);
}

/* clone3 cleared the handlers; what the keeper, or who started it, ignored is still ignored. */
static void reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL); /* EINVAL for SIGKILL and SIGSTOP, which cannot be ignored */
	sigemptyset(&none);
	/* A signal that was blocked until now may end us here, and that is then the agent's end. */
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* An asmd that has died, or cannot record the start, closes the gate. */
static void await_gate(void)
{
	ssize_t n;
	char byte;

	do
		n = read(SASM_EXEC_FD_GATE, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1 || (n < 0 && errno == EBADF))
		return;
	if (n == 0)
		errno = ECANCELED;
	fail(SASM_EXEC_STAGE_GATE);
}

int main(void)
{
	const pid_t keeper = getppid();
	struct spec spec = { 0 };
	int r = read_spec(&spec);

	if (r < 0) {
		errno = -r;
		fail(SASM_EXEC_STAGE_SPEC);
	}
	if (setsid() < 0)
		fail(SASM_EXEC_STAGE_SESSION);
	umask(spec.header->umask);
	connect_stdio();
	set_limits(&spec);
	become(&spec, keeper);
	/* As the agent's own user: a directory that it may not enter must be refused to it. */
	if (chdir(spec.working_directory))
		fail(SASM_EXEC_STAGE_WORKING_DIRECTORY);
	reset_signals();
	await_gate();
	execve(spec.program, spec.argv, spec.envp);
	fail(SASM_EXEC_STAGE_PROGRAM);
}
