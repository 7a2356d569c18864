/* SPDX-License-Identifier: Apache-2.0 */
/* Maps and links as files of the bpf file system: made, found again, removed. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal/probes_state.h"

static int pin_path(char *path, size_t size, const char *pin_dir, const char *kind,
		    const char *name)
{
	int length = snprintf(path, size, "%s/%s_%s", pin_dir, kind, name);

	return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

static int open_pin(const char *pin_dir, const char *kind, const char *name)
{
	char path[PATH_MAX];
	int fd = pin_path(path, sizeof(path), pin_dir, kind, name);

	return fd < 0 ? fd : bpf_obj_get(path);
}

static int make_pin(const char *pin_dir, const char *kind, const char *name, int fd)
{
	char path[PATH_MAX];
	int code = pin_path(path, sizeof(path), pin_dir, kind, name);

	return code < 0 ? code : bpf_obj_pin(fd, path);
}

static int remove_pin(const char *pin_dir, const char *kind, const char *name)
{
	char path[PATH_MAX];
	int code = pin_path(path, sizeof(path), pin_dir, kind, name);

	if (code < 0)
		return code;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

void sasm_probes_close_fds(struct sasm_probes *probes)
{
	for (int i = 0; i < PROBES_MAPS; i++) {
		if (probes->maps[i] >= 0)
			close(probes->maps[i]);
		probes->maps[i] = -1;
	}
	for (int i = 0; i < SASM_PROBES_PROGRAMS; i++) {
		if (probes->links[i] >= 0)
			close(probes->links[i]);
		probes->links[i] = -1;
	}
}

int sasm_probes_open_pins(struct sasm_probes *probes)
{
	uint32_t key = 0;
	int code = 0;

	for (int i = PROBES_MAPS - 1; i >= 0 && code >= 0; i--) {
		code = open_pin(probes->pin_dir, "map", sasm_probes_map_names[i]);
		probes->maps[i] = code < 0 ? -1 : code;
	}
	if (code >= 0)
		code = bpf_map_lookup_elem(probes->maps[PROBES_LAYOUT], &key, &probes->layout);
	for (int i = 0; i < SASM_PROBES_PROGRAMS && code >= 0; i++) {
		code = open_pin(probes->pin_dir, "link", sasm_probes_program_names[i]);
		probes->links[i] = code < 0 ? -1 : code;
	}
	if (code < 0)
		sasm_probes_close_fds(probes);
	return code < 0 ? -ENOENT : 0;
}

int sasm_probes_make_pins(struct sasm_probes *probes, struct sasm_probes_error *error)
{
	const char *dir = probes->pin_dir;
	int code;

	for (int i = 0; i < SASM_PROBES_PROGRAMS; i++) {
		const char *name = sasm_probes_program_names[i];

		code = make_pin(dir, "link", name, probes->links[i]);
		if (code < 0)
			return sasm_probes_fail(error, "pin the link", name, code);
	}
	for (int i = 0; i < PROBES_MAPS; i++) {
		const char *name = sasm_probes_map_names[i];

		code = make_pin(dir, "map", name, probes->maps[i]);
		if (code < 0 && code != -EEXIST) /* a map that was kept over an upgrade */
			return sasm_probes_fail(error, "pin the map", name, code);
	}
	return 0;
}

int sasm_probes_remove_pins(const char *pin_dir, bool is_links_only)
{
	int code = remove_pin(pin_dir, "map", sasm_probes_map_names[PROBES_LAYOUT]);

	for (int i = 0; i < SASM_PROBES_PROGRAMS && code == 0; i++)
		code = remove_pin(pin_dir, "link", sasm_probes_program_names[i]);
	if (is_links_only)
		return code;
	for (int i = 0; i < PROBES_LAYOUT && code == 0; i++)
		code = remove_pin(pin_dir, "map", sasm_probes_map_names[i]);
	return code;
}
