/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of children: every agent's process, from clone3 until asmd has made its exit durable.
 *
 * Fixed size, no heap: what must not die must not depend on an allocation. A slot is free, or holds
 * one life (agent_id, run). What asmd has still to be told of it stands in `untold`, so that a
 * full socket or an absent asmd loses nothing.
 */
#pragma once
#include "protocol.h"

#include <stdbool.h>
#include <sys/types.h>

/* Four times the default of agents_max; a longer table costs 80 bytes a slot. */
#define SASM_CHILDREN_MAX 4096

enum sasm_untold {
	SASM_UNTOLD_SPAWNED = 1u << 0,
	SASM_UNTOLD_EXECED = 1u << 1,
	SASM_UNTOLD_EXITED = 1u << 2,
	SASM_UNTOLD_CHILD = 1u << 3, /* after HELLO, instead of the three above */
};

struct sasm_child {
	bool used;
	bool exited;
	bool exec_done;
	uint8_t untold;
	uint32_t agent_id;
	uint32_t run;
	pid_t pid;
	int pidfd;
	int status_fd; /* read end of asm-exec's status pipe; -1 once read */
	int stdout_fd; /* read ends of the log pipes; -1 once at their end */
	int stderr_fd;
	uint32_t stage;
	int32_t exec_result;
	int32_t wait_code;
	int32_t wait_status;
	uint64_t exit_us;
	uint64_t dropped_bytes;
};

extern struct sasm_child sasm_children[SASM_CHILDREN_MAX];

/* Index of the child, or -1. */
int sasm_child_find(uint32_t agent_id, uint32_t run);
int sasm_child_find_pid(pid_t pid);

/* Index of a free slot, or -1 when the table is full. */
int sasm_child_free_slot(void);

/* How many slots are used; how many of these still live. */
unsigned int sasm_child_count(void);
unsigned int sasm_child_living(void);

/* Take the exit status of a child that waitid(2) reports. True when it had indeed ended. */
bool sasm_child_reap(struct sasm_child *child);

/* Read what asm-exec said, if its pipe has closed or holds a failure. True when that is now known. */
bool sasm_child_read_status(struct sasm_child *child);

/* Throw away what stands in a log pipe and count it. -1 is stored into *fd at its end. */
void sasm_child_drop_output(struct sasm_child *child, int *fd);

/* Close what the child holds and free its slot. */
void sasm_child_forget(struct sasm_child *child);

/* Reap every ended process that is not in the table: orphans that agents left to the subreaper. */
void sasm_reap_orphans(void);

/* The record for asmd, as of now. */
struct sasm_keeper_message sasm_child_message(const struct sasm_child *child, uint16_t type);
