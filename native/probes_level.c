/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the kernel how deep a cgroup lies, and collects what libbpf says when it refuses. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal/probes_state.h"

#include "cgroup_level.skel.h"

/* Of the whole hierarchy's root; the topmost that a cgroup namespace shows has another. */
#define ROOT_ID 1

static __thread char *log_text;
static __thread size_t log_size;

/* Appends; when the log is full its beginning goes, since the verifier names the fault last. */
static int collect(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char line[1024];
	size_t used, room, length;
	int printed;

	if (!log_text || level == LIBBPF_DEBUG)
		return 0;
	printed = vsnprintf(line, sizeof(line), format, arguments);
	if (printed <= 0)
		return 0;
	length = (size_t)printed < sizeof(line) ? (size_t)printed : sizeof(line) - 1;
	if (length >= log_size)
		length = log_size - 1;
	used = strlen(log_text);
	room = log_size - 1 - used;
	if (length > room) {
		size_t excess = length - room;

		memmove(log_text, log_text + excess, used - excess);
		used -= excess;
	}
	memcpy(log_text + used, line, length);
	log_text[used + length] = '\0';
	return 0;
}

void sasm_probes_collect_log(char *log, size_t size)
{
	log_text = log;
	log_size = size;
	libbpf_set_print(collect);
}

int sasm_probes_fail(struct sasm_probes_error *error, const char *operation, const char *object,
		     int code)
{
	snprintf(error->operation, sizeof(error->operation), "%s", operation);
	snprintf(error->object, sizeof(error->object), "%s", object);
	error->error = -code;
	return code;
}

/* Runs the iterator once; the text that it would print is empty. */
static int run_iterator(struct bpf_link *link)
{
	char nothing;
	int fd = bpf_iter_create(bpf_link__fd(link));
	int code;

	if (fd < 0)
		return fd;
	code = read(fd, &nothing, sizeof(nothing)) < 0 ? -errno : 0;
	close(fd);
	return code;
}

int sasm_probes_read_level(int cgroup_fd, uint32_t *ret_level, struct sasm_probes_error *error)
{
	union bpf_iter_link_info which = {
		.cgroup = { .order = BPF_CGROUP_ITER_SELF_ONLY, .cgroup_fd = (uint32_t)cgroup_fd },
	};
	LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &which,
		    .link_info_len = sizeof(which));
	struct sasm_cgroup_level *object = sasm_cgroup_level__open_and_load();
	struct bpf_link *link;
	int code;

	if (!object)
		return sasm_probes_fail(error, "load the object", "cgroup_level", -errno);
	link = bpf_program__attach_iter(object->progs.read_level, &options);
	code = link ? run_iterator(link) : -errno;
	if (code == 0 && object->data->level < 0)
		code = -ENODATA;
	if (code < 0)
		sasm_probes_fail(error, "run the iterator", "cgroup_level", code);
	else
		*ret_level = (uint32_t)object->data->level;
	bpf_link__destroy(link);
	sasm_cgroup_level__destroy(object);
	return code;
}

int sasm_probes_climb_level(int cgroup_fd, uint32_t *ret_level, struct sasm_probes_error *error)
{
	struct stat here, above;
	uint32_t level = 0;
	int fd = -1, parent, code = fstat(cgroup_fd, &here) < 0 ? -errno : 0;

	while (code == 0 && here.st_ino != ROOT_ID) {
		parent = openat(level ? fd : cgroup_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		code = parent < 0 || fstat(parent, &above) < 0 ? -errno : 0;
		if (code == 0 && above.st_dev != here.st_dev)
			code = -EXDEV; /* above the mount: what lies between is not to be seen */
		if (level)
			close(fd);
		fd = parent;
		here = above;
		level++;
	}
	if (level && fd >= 0)
		close(fd);
	if (code < 0)
		return sasm_probes_fail(error, "tell the depth of", "the agents' root cgroup", code);
	*ret_level = level;
	return 0;
}
