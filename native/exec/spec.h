/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What asm-exec is told, in a memfd on descriptor 3: a header, then arrays, then strings.
 *
 *   struct sasm_exec_header
 *   struct sasm_exec_rlimit rlimits[rlimit_count]
 *   uint32_t                groups[group_count]
 *   char                    strings[strings_bytes]: program, working directory, then argv, then envp,
 *                           each NUL-terminated, in this order
 *
 * kernel/exec_spec.py writes it. Both sides are ours and are installed together; the version only
 * guards against a half-done upgrade. Secrets may stand in the environment part, which is why this
 * is an anonymous file and not argv.
 */
#pragma once
#include <stdint.h>

#define SASM_EXEC_MAGIC 0x31585341u /* "ASX1" */
#define SASM_EXEC_VERSION 1
/* The kernel's own bound on argv and environment together is 2 MiB for an 8 MiB stack (execve(2)). */
#define SASM_EXEC_SPEC_BYTES_MAX (2u << 20)
#define SASM_EXEC_STRINGS_MAX 4096
#define SASM_EXEC_GROUPS_MAX 64
#define SASM_EXEC_RLIMITS_MAX 16

/* Descriptors at asm-exec's birth. */
enum sasm_exec_fd {
	SASM_EXEC_FD_SPEC = 3,
	SASM_EXEC_FD_STDOUT = 4,
	SASM_EXEC_FD_STDERR = 5,
	SASM_EXEC_FD_STATUS = 6, /* closes on success; else one struct sasm_exec_failure */
	SASM_EXEC_FD_SELF = 7, /* asm-exec's own program file */
	SASM_EXEC_FD_GATE = 8, /* pipe: a byte opens it, its end forbids the program; not readable: none */
	SASM_EXEC_FD_NUM = 9,
};

/* Where it failed: the number is shown, its name stands in kernel/exec_spec.py. */
enum sasm_exec_stage {
	SASM_EXEC_STAGE_START = 0, /* asm-exec itself could not be executed */
	SASM_EXEC_STAGE_SPEC = 1,
	SASM_EXEC_STAGE_SESSION = 2,
	SASM_EXEC_STAGE_RLIMIT = 3,
	SASM_EXEC_STAGE_NICE = 4,
	SASM_EXEC_STAGE_OOM_SCORE = 5,
	SASM_EXEC_STAGE_CAPABILITIES = 6,
	SASM_EXEC_STAGE_GROUP = 7,
	SASM_EXEC_STAGE_USER = 8,
	SASM_EXEC_STAGE_WORKING_DIRECTORY = 9,
	SASM_EXEC_STAGE_STDIO = 10,
	SASM_EXEC_STAGE_PROGRAM = 11,
	SASM_EXEC_STAGE_GATE = 12,
};

struct sasm_exec_failure {
	uint32_t stage;
	int32_t error; /* errno, positive */
};

struct sasm_exec_rlimit {
	uint32_t resource;
	uint32_t padding;
	uint64_t soft;
	uint64_t hard;
};

struct sasm_exec_header {
	uint32_t magic;
	uint16_t version;
	uint16_t padding;
	uint32_t total_bytes; /* of the whole spec */
	uint32_t uid;
	uint32_t gid;
	uint32_t group_count;
	uint32_t rlimit_count;
	uint32_t argument_count;
	uint32_t environment_count;
	uint32_t strings_bytes;
	int32_t oom_score_adj;
	int32_t nice;
	uint32_t umask;
	uint32_t padding2;
	uint64_t capabilities; /* bits kept in every set; 0 = none */
};

_Static_assert(sizeof(struct sasm_exec_header) == 64, "the header has no hidden padding");
_Static_assert(sizeof(struct sasm_exec_rlimit) == 24, "as exec_spec.py packs it");
