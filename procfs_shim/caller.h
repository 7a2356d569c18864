/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks? Operators are uid 0 or group `asm`, outside every agent's cgroup:
 * an agent that runs as root is an agent (spec/CONTRACT.md, "Who is who").
 * Read from /proc while the caller waits for us; what cannot be read is no.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct sasm_caller_rules {
	const char *agents_cgroup; /* "/asm.slice/agents", in the cgroup2 tree */
	gid_t operators; /* (gid_t)-1: no such group here */
};

/*
 * Is this task in the agents' cgroup or below? pid may be a thread's; 0 means
 * another pid namespace, whose tasks we cannot judge: true.
 */
bool sasm_caller_is_agent(const struct sasm_caller_rules *rules, pid_t pid);

/* `groups` are the supplementary ones. */
bool sasm_caller_is_operator(const struct sasm_caller_rules *rules, pid_t pid, uid_t uid, gid_t gid,
			     const gid_t *groups, int group_count);
