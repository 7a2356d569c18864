/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of agents by number. Programs include asm.h, which includes this. */
/* Made from supervisord_asm/api/calls.py by `make calls`. Do not edit. */
#pragma once

/* Each call N of this list is asm_n() in asm.h and syscall(N) inside an agent. */
enum asm_call_number {
  ASM_CALL_TELEMETRY = 500,
  ASM_CALL_POLICY_PATCH = 501,
  ASM_CALL_AGENT_INFO = 502,
  ASM_CALL_LLM_REQUEST = 503,
  ASM_CALL_HEARTBEAT = 504,
  ASM_CALL_TRACK_TOOL_CALL = 505,
  ASM_CALL_LOCK = 506,
  ASM_CALL_UNLOCK = 507,
  ASM_CALL_PROFILE_SAMPLE = 508,
  ASM_CALL_COMPLIANCE_EVENT = 509,
  ASM_CALL_BUDGET = 510,
  ASM_CALL_DEPENDENCY = 511,
};

/* The patch types of 501: each changes exactly one thing. */
enum asm_patch {
  ASM_PATCH_ADD_CAPABILITY = 1,
  ASM_PATCH_REMOVE_CAPABILITY = 2,
  ASM_PATCH_UPDATE_SCOPE = 3,
  ASM_PATCH_SET_AUTO_RESTART = 4,
};

/* What the sentinel wants of an agent: the result of 505, mildest first. */
enum asm_action {
  ASM_ACTION_ALLOW = 0,
  ASM_ACTION_WARN = 1,
  ASM_ACTION_THROTTLE = 2,
  ASM_ACTION_CHECKPOINT = 3,
  ASM_ACTION_ABORT = 4,
};

/* What 511 does to an edge. */
enum asm_dependency {
  ASM_DEPENDENCY_ADD = 1,
  ASM_DEPENDENCY_REMOVE = 2,
};

/* How strong an edge of 511 is. */
enum asm_edge {
  ASM_EDGE_REQUIRED = 1,
  ASM_EDGE_OPTIONAL = 2,
  ASM_EDGE_PEER = 3,
};

#define ASM_ANSWER_BYTES_MIN 512 /* smaller rooms are ENOSPC */
#define ASM_PATH_BYTES_MAX 4096
#define ASM_TOOL_BYTES_MAX 128
#define ASM_AMOUNT_MAX 1000000000000LL /* of credits or tokens in one call */
