/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of children: every agent's process, from clone3 until asmd has made its exit durable.
 *
 * Fixed size, no heap: what must not die must not depend on an allocation. A slot is free, or holds
 * one life (agent_id, run), or the refusal of one. What asmd has still to be told of it stands in
 * `untold`, so that a full socket or an absent asmd loses nothing.
 */
#pragma once
#include "protocol.h"

#include <stdbool.h>
#include <sys/types.h>

/* Four times the default of agents_max; a longer table costs 72 bytes a slot. */
#define SASM_CHILDREN_MAX 4096

enum sasm_untold {
	SASM_UNTOLD_SPAWNED = 1u << 0,
	SASM_UNTOLD_EXECED = 1u << 1,
	SASM_UNTOLD_EXITED = 1u << 2,
	SASM_UNTOLD_CHILD = 1u << 3, /* after HELLO, instead of the three above */
};

struct sasm_child {
	bool used;
	bool refused; /* there is no process: exec_result says why, and the slot goes once told */
	bool exited;
	bool exec_done;
	bool is_gated; /* born, but its program waits (exec/spec.h, SASM_EXEC_FD_GATE) */
	uint8_t untold;
	uint32_t agent_id;
	uint32_t run;
	pid_t pid;
	int pidfd;
	int status_fd; /* read end of asm-exec's status pipe; -1 once read */
	int stdout_fd; /* read ends of the log pipes, also after their end: CHILD carries both */
	int stderr_fd;
	uint32_t stage;
	int32_t exec_result;
	int32_t wait_code;
	int32_t wait_status;
	uint64_t exit_us;
	uint64_t dropped_bytes;
};

extern struct sasm_child sasm_children[SASM_CHILDREN_MAX];

/* One past the highest used slot: scans are as long as the fleet, not as the table. */
extern int sasm_children_end;

/* A slot for this life, without any descriptor; NULL when the table is full. */
struct sasm_child *sasm_child_new(uint32_t agent_id, uint32_t run);

/* The child, or NULL; by pid only while it has not been reaped. */
struct sasm_child *sasm_child_find(uint32_t agent_id, uint32_t run);
struct sasm_child *sasm_child_find_pid(pid_t pid);

/* Its index, for epoll. */
int sasm_child_index(const struct sasm_child *child);

/* Whether any has not ended yet. */
bool sasm_children_live(void);

/* Take the exit status of a child that waitid(2) reports. True when it had indeed ended. */
bool sasm_child_reap(struct sasm_child *child);

/* Read what asm-exec said, if its pipe has closed or holds a failure. True when that is now known. */
bool sasm_child_read_status(struct sasm_child *child);

/* Throw away what stands in a log pipe and count it. True at its end. */
bool sasm_child_drop_output(struct sasm_child *child, int fd);

/* Close what the child holds and free its slot. */
void sasm_child_forget(struct sasm_child *child);

/* The record for asmd, as of now. */
struct sasm_keeper_message sasm_child_message(const struct sasm_child *child, uint16_t type);
