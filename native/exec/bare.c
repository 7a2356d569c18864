// SPDX-License-Identifier: Apache-2.0
/*
 * asm-exec's entry, and the few functions of the C library that it uses, so that it starts without
 * one. A static glibc looks at the processor first: dozens of CPUID instructions, each of them a trap
 * in a virtual machine. That took 290 us of every agent's start (480 us for an empty program, 190 us
 * for this); the whole rest of asm-exec takes less.
 *
 * The names and promises are the C library's, as far as asm-exec relies on them: -1 and errno. So the
 * other files do not know the difference, and the sanitizer build links them with glibc.
 *
 * The stack protector stays: its canary is at %fs:0x28, which is ours to set up.
 *
 * Sources: System V ABI, AMD64 supplement (process entry), getauxval(3), arch_prctl(2), syscall(2).
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/auxvec.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the compiler expects at %fs; only the canary is used. */
static struct {
	uint64_t reserved[5];
	uint64_t canary;
} thread;
_Static_assert(sizeof(thread) == 0x30, "the canary is at 0x28");

static int error_number;

int main(void);

int *__errno_location(void)
{
	return &error_number;
}

static long raw(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}

static long call(long number, long a, long b, long c, long d)
{
	const long r = raw(number, a, b, c, d, 0, 0);

	if (r >= 0)
		return r;
	error_number = (int)-r;
	return -1;
}

static long address(const void *pointer)
{
	return (long)(intptr_t)pointer;
}

_Noreturn void _exit(int status)
{
	for (;;)
		raw(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

_Noreturn void __stack_chk_fail(void);
_Noreturn void __stack_chk_fail(void)
{
	_exit(127);
}

/* `stack` is as the kernel left it: argc, argv, NULL, environment, NULL, auxiliary vector. */
__attribute__((no_stack_protector, used)) static _Noreturn void begin(const uint64_t *stack)
{
	const uint64_t *cursor = stack + 1 + stack[0] + 1;

	while (*cursor++)
		;
	for (; cursor[0] != AT_NULL; cursor += 2)
		if (cursor[0] == AT_RANDOM)
			thread.canary = *(const uint64_t *)(intptr_t)cursor[1];
	/* The lowest byte is 0, as glibc's is: no string that overflows can contain it. */
	thread.canary &= ~UINT64_C(0xff);
	raw(SYS_arch_prctl, ARCH_SET_FS, address(&thread), 0, 0, 0, 0);
	_exit(main());
}

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call begin\n");

/* The compiler turns loops and copies into calls of these two, so they are no loops themselves. */
void *memset(void *target, int byte, size_t count)
{
	void *cursor = target;

	__asm__ volatile("rep stosb" : "+D"(cursor), "+c"(count) : "a"(byte) : "memory");
	return target;
}

void *memcpy(void *restrict target, const void *restrict source, size_t count)
{
	void *cursor = target;

	__asm__ volatile("rep movsb" : "+D"(cursor), "+S"(source), "+c"(count) : : "memory");
	return target;
}

void *memchr(const void *memory, int byte, size_t count)
{
	for (const unsigned char *p = memory; count; count--, p++)
		if (*p == (unsigned char)byte)
			return (void *)(intptr_t)p;
	return NULL;
}

long syscall(long number, ...)
{
	long a[4];
	va_list arguments;

	va_start(arguments, number);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	return call(number, a[0], a[1], a[2], a[3]);
}

int prctl(int option, ...)
{
	unsigned long a[4];
	va_list arguments;
	long r;

	va_start(arguments, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(arguments, unsigned long);
	va_end(arguments);
	r = raw(SYS_prctl, option, (long)a[0], (long)a[1], (long)a[2], (long)a[3], 0);
	if (r >= 0)
		return (int)r;
	error_number = (int)-r;
	return -1;
}

/* Never with O_CREAT: no mode is read. */
int open(const char *path, int flags, ...)
{
	return (int)call(SYS_openat, AT_FDCWD, address(path), flags, 0);
}

int close(int fd)
{
	return (int)call(SYS_close, fd, 0, 0, 0);
}

ssize_t read(int fd, void *data, size_t count)
{
	return call(SYS_read, fd, address(data), (long)count, 0);
}

ssize_t write(int fd, const void *data, size_t count)
{
	return call(SYS_write, fd, address(data), (long)count, 0);
}

int fstat(int fd, struct stat *ret)
{
	return (int)call(SYS_fstat, fd, address(ret), 0, 0);
}

void *mmap(void *hint, size_t length, int protection, int flags, int fd, off_t offset)
{
	const long r = raw(SYS_mmap, address(hint), (long)length, protection, flags, fd, offset);

	/* Addresses may look negative; the last page holds only errors. */
	if ((unsigned long)r < -4095UL)
		return (void *)(intptr_t)r;
	error_number = (int)-r;
	return MAP_FAILED;
}

int dup2(int from, int to)
{
	return (int)call(SYS_dup2, from, to, 0, 0);
}

int chdir(const char *path)
{
	return (int)call(SYS_chdir, address(path), 0, 0, 0);
}

int execve(const char *path, char *const argv[], char *const envp[])
{
	return (int)call(SYS_execve, address(path), address(argv), address(envp), 0);
}

pid_t getppid(void)
{
	return (pid_t)call(SYS_getppid, 0, 0, 0, 0);
}

pid_t setsid(void)
{
	return (pid_t)call(SYS_setsid, 0, 0, 0, 0);
}

mode_t umask(mode_t mask)
{
	return (mode_t)call(SYS_umask, mask, 0, 0, 0);
}

int setpriority(__priority_which_t which, id_t who, int value)
{
	return (int)call(SYS_setpriority, which, who, value, 0);
}

int getrlimit(__rlimit_resource_t resource, struct rlimit *ret)
{
	return (int)call(SYS_prlimit64, 0, resource, 0, address(ret));
}

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	return (int)call(SYS_prlimit64, 0, resource, address(limit), 0);
}

int setgroups(size_t count, const gid_t *groups)
{
	return (int)call(SYS_setgroups, (long)count, address(groups), 0, 0);
}

int setresgid(gid_t real, gid_t effective, gid_t saved)
{
	return (int)call(SYS_setresgid, real, effective, saved, 0);
}

int setresuid(uid_t real, uid_t effective, uid_t saved)
{
	return (int)call(SYS_setresuid, real, effective, saved, 0);
}

int sigemptyset(sigset_t *set)
{
	memset(set, 0, sizeof(*set));
	return 0;
}

/* The kernel's set is 8 bytes, the beginning of glibc's. */
int sigprocmask(int how, const sigset_t *set, sigset_t *ret_old)
{
	return (int)call(SYS_rt_sigprocmask, how, address(set), address(ret_old), 8);
}

/* Only for SIG_DFL and SIG_IGN, which need no restorer. */
__sighandler_t signal(int number, __sighandler_t handler)
{
	const struct {
		__sighandler_t handler;
		unsigned long flags;
		void (*restorer)(void);
		uint64_t mask;
	} action = { .handler = handler };

	return call(SYS_rt_sigaction, number, address(&action), 0, 8) ? SIG_ERR : SIG_DFL;
}
