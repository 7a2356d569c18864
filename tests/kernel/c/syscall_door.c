/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The syscall door in small: one thread installs a filter that notifies about number 500, the
 * other, which the filter does not bind, answers it. Prints what syscall(500, 20) then returns,
 * which is 21: the answer is made from the caller's argument. Exit status: 0, or 1 with the step.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DOOR 500

static int announce[2];

static void *answer(void *unused)
{
	struct seccomp_notif request = { 0 };
	struct seccomp_notif_resp reply = { 0 };
	int listener;

	(void)unused; /* the signature is pthread_create's */
	if (read(announce[0], &listener, sizeof(listener)) != sizeof(listener))
		return "read";
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request))
		return "receive";
	reply.id = request.id;
	reply.val = (long long)request.data.args[0] + 1;
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply))
		return "send";
	return NULL;
}

int main(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DOOR, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };
	pthread_t thread;
	void *step = NULL;
	int listener;
	long got;

	if (pipe(announce) || pthread_create(&thread, NULL, answer, NULL)) {
		perror("prepare");
		return 1;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
		perror("no_new_privs");
		return 1;
	}
	listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (listener < 0) {
		perror("seccomp");
		return 1;
	}
	if (write(announce[1], &listener, sizeof(listener)) != sizeof(listener)) {
		perror("write");
		return 1;
	}
	got = syscall(DOOR, 20);
	pthread_join(thread, &step);
	if (step) {
		fprintf(stderr, "unable to %s\n", (const char *)step);
		return 1;
	}
	printf("%ld\n", got);
	return 0;
}
