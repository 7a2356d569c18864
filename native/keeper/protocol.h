/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What asmd and asm-keeper say to each other: one fixed record, in both directions.
 *
 * Transport: one SOCK_SEQPACKET connection, a record per packet, file descriptors by SCM_RIGHTS.
 * The struct has no padding and is little-endian as the machine is; kernel/keeper_channel.py packs
 * the same 72 bytes and a test compares the sizes. A newer asmd must serve with an older keeper
 * (the keeper outlives upgrades), so fields are only ever added in `spare`.
 */
#pragma once
#include <stdint.h>

#define SASM_KEEPER_MAGIC 0x314b5341u /* "ASK1" */
#define SASM_KEEPER_VERSION 2

enum sasm_keeper_type {
	/* asmd -> keeper */
	SASM_KEEPER_HELLO = 1, /* first packet; answered by HELLO, a CHILD each, SYNCED, then news */
	SASM_KEEPER_SPAWN = 2, /* fds: see sasm_spawn_fd */
	SASM_KEEPER_ACK = 3, /* the exit of (agent_id, run) is durable: forget it */
	SASM_KEEPER_QUIT = 4, /* leave when no child is left; no restart of asmd; HELLO revokes it */
	SASM_KEEPER_REST = 5, /* asmd leaves on purpose: keep the agents, do not start it */
	/* keeper -> asmd */
	SASM_KEEPER_CHILD = 16, /* a child that lives or whose exit is not acknowledged */
	SASM_KEEPER_SYNCED = 17, /* every CHILD has been said; result = how many */
	/* result 0: pid, fd pidfd; else -errno and no child (-EBUSY: the cgroup is frozen) */
	SASM_KEEPER_SPAWNED = 18, /* with a gate: together with what comes of it */
	SASM_KEEPER_EXECED = 19, /* result 0: the program runs; else -errno at `stage`; before EXITED */
	SASM_KEEPER_EXITED = 20, /* wait_code, wait_status as waitid(2) gave them */
};

/* The descriptors that travel with SPAWN, in this order. */
enum sasm_spawn_fd {
	SASM_SPAWN_SPEC = 0, /* memfd, what asm-exec reads */
	SASM_SPAWN_CGROUP = 1, /* directory of the cgroup to be born in */
	SASM_SPAWN_STDOUT = 2, /* write ends: the child's */
	SASM_SPAWN_STDERR = 3,
	SASM_SPAWN_STDOUT_READ = 4, /* read ends: kept, handed to the next asmd */
	SASM_SPAWN_STDERR_READ = 5,
	SASM_SPAWN_GATE = 6, /* may be missing; read end of a pipe: spec.h, SASM_EXEC_FD_GATE */
	SASM_SPAWN_FD_NUM = 7,
};

/* The descriptors that travel with CHILD, always: pidfd, stdout read end, stderr read end. */
#define SASM_CHILD_FD_NUM 3

struct sasm_keeper_message {
	uint32_t magic;
	uint16_t version;
	uint16_t type; /* enum sasm_keeper_type */
	uint32_t agent_id;
	uint32_t run; /* which life of the agent; with agent_id the key of everything */
	int32_t pid;
	int32_t result; /* 0 or -errno */
	uint32_t stage; /* enum sasm_exec_stage, with EXECED */
	int32_t wait_code; /* 0 while it lives */
	int32_t wait_status;
	uint32_t exec_done; /* CHILD only: 1 when EXECED has been said */
	uint64_t timestamp_us; /* CLOCK_BOOTTIME of the exit */
	uint64_t dropped_bytes; /* output thrown away while no asmd was there */
	uint64_t spare[2];
};

_Static_assert(sizeof(struct sasm_keeper_message) == 72, "the record has no padding");
