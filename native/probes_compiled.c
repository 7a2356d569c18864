/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that were compiled on this host (bpf/by_bcc.bpf.h), for a kernel without BTF: their
 * maps, made as the linked-in object says, and the programs, loaded over them and attached.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal/probes_state.h"

/* Where a program of packets goes; BPF_TRACE_RAW_TP: it is none, its name is its tracepoint's. */
static enum bpf_attach_type packet_hook(uint32_t program)
{
	const char *name = sasm_probes_program_names[program];

	if (!strcmp(name, "receive"))
		return BPF_CGROUP_INET_INGRESS;
	if (!strcmp(name, "transmit"))
		return BPF_CGROUP_INET_EGRESS;
	return BPF_TRACE_RAW_TP;
}

/* The verifier's log is cut at its end, where the fault stands, so it must fit. */
#define LOG_BYTES (1 << 20)

/*
 * Storage on a task or a socket needs BTF. Instead: marks by a thread's start time and pid, or a
 * socket's cookie, the oldest giving way.
 */
#define THREAD_KEY_BYTES 16
#define SOCKET_KEY_BYTES 8
#define MARKS_MAX 16384

static int make_marks(const struct bpf_map *map)
{
	bool is_thread = bpf_map__type(map) == BPF_MAP_TYPE_TASK_STORAGE;
	int fd = bpf_map_create(BPF_MAP_TYPE_LRU_HASH, bpf_map__name(map),
				is_thread ? THREAD_KEY_BYTES : SOCKET_KEY_BYTES,
				bpf_map__value_size(map), MARKS_MAX, NULL);

	return fd < 0 ? -errno : fd;
}

int sasm_probes_make_map(const struct bpf_map *map)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = bpf_map__map_flags(map));
	const void *content;
	uint32_t key = 0;
	size_t size;
	int fd, code;

	if (bpf_map__type(map) == BPF_MAP_TYPE_TASK_STORAGE ||
	    bpf_map__type(map) == BPF_MAP_TYPE_SK_STORAGE)
		return make_marks(map);
	/* The kernel's names have letters, digits, _ and dots; libbpf's may be longer than its 15. */
	fd = bpf_map_create(bpf_map__type(map), NULL, bpf_map__key_size(map),
			    bpf_map__value_size(map), bpf_map__max_entries(map), &options);
	if (fd < 0)
		return -errno;
	content = bpf_map__initial_value((struct bpf_map *)map, &size);
	if (content && bpf_map_update_elem(fd, &key, content, BPF_ANY) < 0) {
		code = -errno;
		close(fd);
		return code;
	}
	return fd;
}

/* Keeps the end of a log, in which the verifier names the fault. */
static void keep_log(const char *log, struct sasm_probes_error *error)
{
	size_t length = strlen(log), room = sizeof(error->log) - 1;
	const char *tail = length > room ? log + length - room : log;

	memcpy(error->log, tail, strlen(tail) + 1);
}

static int load_program(const struct sasm_probes *probes, const struct sasm_compiled *compiled,
			uint32_t program, struct sasm_probes_error *error)
{
	const char *name = sasm_probes_program_names[program];
	char *log = calloc(1, LOG_BYTES);
	LIBBPF_OPTS(bpf_prog_load_opts, options, .fd_array = probes->maps, .log_buf = log,
		    .log_size = log ? LOG_BYTES : 0);
	enum bpf_attach_type hook = packet_hook(program);
	bool is_packet = hook != BPF_TRACE_RAW_TP;
	int fd;

	options.expected_attach_type = is_packet ? hook : 0;
	fd = bpf_prog_load(is_packet ? BPF_PROG_TYPE_CGROUP_SKB : BPF_PROG_TYPE_RAW_TRACEPOINT, name,
			   "GPL", (const struct bpf_insn *)compiled->instructions[program],
			   compiled->counts[program], &options);

	if (fd < 0) {
		fd = -errno;
		sasm_probes_fail(error, "load the program", name, fd);
		if (log)
			keep_log(log, error);
	}
	free(log);
	return fd;
}

/* Returns a link: it can be pinned, and closing it detaches. Or -errno. */
static int attach_program(const struct sasm_probes *probes, uint32_t program, int fd)
{
	enum bpf_attach_type hook = packet_hook(program);
	int link = hook == BPF_TRACE_RAW_TP
			   ? bpf_raw_tracepoint_open(sasm_probes_program_names[program], fd)
			   : bpf_link_create(fd, probes->root_fd, hook, NULL);

	return link < 0 ? -errno : link;
}

int sasm_probes_attach_compiled(struct sasm_probes *probes, const struct sasm_compiled *compiled,
				struct sasm_probes_error *error)
{
	/* All are loaded before the first is attached: the verifier may refuse the last. */
	int fds[SASM_PROBES_PROGRAMS];
	int code = 0, loaded = 0;

	while (loaded < SASM_PROBES_PROGRAMS && code >= 0) {
		code = load_program(probes, compiled, (uint32_t)loaded, error);
		if (code >= 0)
			fds[loaded++] = code;
	}
	for (int i = 0; i < loaded && code >= 0; i++) {
		const char *name = sasm_probes_program_names[i];

		code = attach_program(probes, (uint32_t)i, fds[i]);
		if (code < 0)
			code = sasm_probes_fail(error, "attach the program", name, code);
		else
			probes->links[i] = code;
	}
	for (int i = 0; i < loaded; i++)
		close(fds[i]);
	return code < 0 ? code : 0;
}
