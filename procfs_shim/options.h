/* SPDX-License-Identifier: Apache-2.0 */
/* The command line. */
#pragma once

struct sasm_options {
	const char *mount; /* absolute path */
	const char *listen; /* absolute path */
	const char *user;
	const char *group;
	const char *agents_cgroup;
};

/* 0, 1 = help was printed, or -EINVAL with a line on stderr. */
int sasm_options_parse(int argc, char **argv, struct sasm_options *ret_options);
