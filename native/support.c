/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the kernel what it can do here; support.h says what and why so. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal/probes_state.h"

#include "lsm_probe.skel.h"

/* linux/pidfd.h of 6.15, which Debian 12's headers do not have. */
struct pidfd_info {
	uint64_t mask;
	uint64_t cgroupid;
	uint32_t ids[11];
	int32_t exit_code;
};

#define PIDFD_GET_INFO _IOWR(0xFF, 11, struct pidfd_info)
#define PIDFD_INFO_EXIT (1ULL << 3)

int sasm_support_map(uint32_t type)
{
	int answer;

	sasm_probes_collect_log(NULL, 0); /* libbpf would write to stderr */
	answer = libbpf_probe_bpf_map_type((enum bpf_map_type)type, NULL);
	if (answer < 0)
		return answer;
	return answer ? 0 : -EOPNOTSUPP;
}

int sasm_support_tracing(void)
{
	/* r0 = 0; exit */
	const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_RAW_TP);
	int type_id, program_fd, link_fd;

	sasm_probes_collect_log(NULL, 0);
	/* A process's own start is rare enough to cost nobody anything while we look. */
	type_id = libbpf_find_vmlinux_btf_id("sched_process_exec", BPF_TRACE_RAW_TP);
	if (type_id < 0)
		return type_id;
	options.attach_btf_id = (uint32_t)type_id;
	program_fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "asm_probe", "GPL", nothing, 2, &options);
	if (program_fd < 0)
		return program_fd;
	link_fd = bpf_raw_tracepoint_open(NULL, program_fd);
	close(program_fd);
	if (link_fd < 0)
		return link_fd;
	close(link_fd);
	return 0;
}

int sasm_support_lsm(void)
{
	struct sasm_lsm_probe *object;
	int code;

	sasm_probes_collect_log(NULL, 0);
	object = sasm_lsm_probe__open_and_load();
	if (!object)
		return -errno;
	code = sasm_lsm_probe__attach(object);
	if (code == 0) {
		uint32_t id;

		bpf_prog_get_next_id(0, &id); /* any bpf(2) at all */
		if (!*(volatile uint32_t *)&object->bss->is_called)
			code = -ENOEXEC;
	}
	sasm_lsm_probe__destroy(object);
	return code;
}

int sasm_support_landlock(void)
{
	long version = syscall(__NR_landlock_create_ruleset, NULL, 0,
			       LANDLOCK_CREATE_RULESET_VERSION);

	return version < 0 ? -errno : (int)version;
}

int sasm_support_seccomp_notify(void)
{
	uint32_t action = SECCOMP_RET_USER_NOTIF;

	return syscall(__NR_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0 ? -errno : 0;
}

static int read_pidfd_exit(int pidfd, int status)
{
	struct pidfd_info info = { .mask = PIDFD_INFO_EXIT };

	if (ioctl(pidfd, PIDFD_GET_INFO, &info) < 0)
		return -errno;
	return info.mask & PIDFD_INFO_EXIT && info.exit_code == status << 8 ? 0 : -EOPNOTSUPP;
}

int sasm_support_pidfd_exit(void)
{
	enum { STATUS = 42 };
	siginfo_t ended = { 0 };
	int pidfd, code;
	pid_t pid;

	pid = vfork();
	if (pid == 0)
		_exit(STATUS);
	if (pid < 0)
		return -errno;
	/* A zombie of ours: the number is still its own. */
	pidfd = (int)syscall(__NR_pidfd_open, pid, 0);
	code = pidfd < 0 ? -errno : 0;
	waitid(P_PID, (id_t)pid, &ended, WEXITED);
	if (code < 0)
		return code;
	code = read_pidfd_exit(pidfd, STATUS);
	close(pidfd);
	return code;
}

static int find_file(int cgroup_fd, const char *name)
{
	return faccessat(cgroup_fd, name, F_OK, 0) < 0 ? -errno : 0;
}

int sasm_support_cgroup_kill(int cgroup_fd)
{
	return find_file(cgroup_fd, "cgroup.kill");
}

int sasm_support_cgroup_freeze(int cgroup_fd)
{
	return find_file(cgroup_fd, "cgroup.freeze");
}
