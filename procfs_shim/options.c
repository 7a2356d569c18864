// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
	"Usage: asm-procfs --mount DIRECTORY --listen SOCKET [OPTION]...\n"
	"Serve the read-only tree of what asmd publishes over SOCKET.\n"
	"\n"
	"  --mount DIRECTORY      where the tree is mounted; made if missing\n"
	"  --listen SOCKET        where asmd connects; made, mode 0600\n"
	"  --user USER            serve as this user, name or number (asm-procfs)\n"
	"  --group GROUP          who may read `events`, besides root (asm)\n"
	"  --agents-cgroup PATH   who may not, even as root (/asm.slice/agents)\n"
	"  --help                 show this\n"
	"\n"
	"SIGTERM ends the readers' waiting, unmounts and exits 0.\n";

int sasm_options_parse(int argc, char **argv, struct sasm_options *ret_options)
{
	static const struct option long_options[] = {
		{ "mount", required_argument, NULL, 'm' },
		{ "listen", required_argument, NULL, 'l' },
		{ "user", required_argument, NULL, 'u' },
		{ "group", required_argument, NULL, 'g' },
		{ "agents-cgroup", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct sasm_options options = {
		.user = "asm-procfs",
		.group = "asm",
		.agents_cgroup = "/asm.slice/agents",
	};
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case 'm':
			options.mount = optarg;
			break;
		case 'l':
			options.listen = optarg;
			break;
		case 'u':
			options.user = optarg;
			break;
		case 'g':
			options.group = optarg;
			break;
		case 'c':
			options.agents_cgroup = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 1;
		default:
			return -EINVAL; /* getopt has said why */
		}
	}
	/* "/" would make everybody an agent, "x" and "/x/" nobody. */
	if (optind < argc || !options.mount || *options.mount != '/' || !options.listen ||
	    *options.listen != '/' || *options.agents_cgroup != '/' ||
	    options.agents_cgroup[strlen(options.agents_cgroup) - 1] == '/') {
		fputs(usage, stderr);
		return -EINVAL;
	}
	*ret_options = options;
	return 0;
}
