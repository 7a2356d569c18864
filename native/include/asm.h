/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent can say to its supervisor, and an operator's program to ask: asm(3), docs/calls.md.
 *
 * Each function makes one call, by a real system call where the agent has that door, else over the
 * socket ASM_SOCKET (/run/asm/asm.sock); asm_set_doors and the variable ASM_DOORS change the order.
 * They return -1 and set errno on failure. ENOSYS: there is no door; EOPNOTSUPP: asmd has no such
 * part (yet); EPERM: not for this caller; EAGAIN: try again; ETIMEDOUT: asmd did not answer;
 * ECONNRESET: it went away during a call with an effect, which may have been done or not.
 *
 * All of them may be called by many threads, from signal handlers and after fork; they allocate
 * nothing, hold no lock, are no cancellation points and are not ended by signals.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "asm_calls.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ASM_API __attribute__((visibility("default")))

enum asm_doors {
  ASM_DOORS_SYSCALL_SOCKET = 1, /* the default: a system call, and on ENOSYS the socket */
  ASM_DOORS_SOCKET_SYSCALL = 2, /* the socket, and where it is not there a system call */
  ASM_DOORS_SYSCALL = 3,
  ASM_DOORS_SOCKET = 4,
};

/* Chooses the doors of this process, over ASM_DOORS ("socket,syscall", "socket", ...). */
ASM_API int asm_set_doors(enum asm_doors doors);

/* Any call with its words as syscall(2) takes them; the functions below are this with types. */
ASM_API long asm_call(long number, long a, long b, long c, long d);

/* 500, 502: write JSON into the buffer, without a NUL, and return its length. */
ASM_API ssize_t asm_telemetry(char *buffer, size_t size);
ASM_API ssize_t asm_agent_info(int agent_id, char *buffer, size_t size);

/* 501: `value` is capability bits or a number of restarts; a scope is a path. Returns 0. */
ASM_API int asm_policy_patch(int agent_id, enum asm_patch patch, long value);
ASM_API int asm_policy_scope(int agent_id, const char *path);

/* 503: JSON in, JSON out; returns the answer's length. Waits as long as the gateway takes. */
ASM_API ssize_t asm_llm_request(const char *request, size_t length, char *response, size_t size);

/* 504: this agent makes progress. Returns 0. */
ASM_API int asm_heartbeat(void);

/* 505: accounts for one use of a tool; returns an enum asm_action. 1 credit = 1000. */
ASM_API int asm_track_tool_call(const char *tool, int64_t credits_milli, int64_t tokens);

/* 506, 507: take a named lock within `timeout_ms`, and give it back. Return 0. */
ASM_API int asm_lock(const char *name, int64_t timeout_ms);
ASM_API int asm_unlock(const char *name);

/* 508: how long an operation took. `asm_profile_end` measures from what `asm_profile_begin` gave. */
ASM_API int asm_profile_sample(const char *operation, int64_t duration_us, int success);
ASM_API int64_t asm_profile_begin(void);
ASM_API int asm_profile_end(const char *operation, int64_t begun_us, int success);

/* 509: an event, as JSON, for the compliance record. Returns 0. */
ASM_API int asm_compliance_event(const char *event, size_t length);

/* 510: JSON in, JSON out; returns the answer's length. */
ASM_API ssize_t asm_budget(const char *request, size_t length, char *answer, size_t size);

/* 511: an edge from this agent onto another. Returns 0. */
ASM_API int asm_dependency(enum asm_dependency change, int agent_id, enum asm_edge edge);

/* sd_notify(3): "READY=1", "WATCHDOG=1", "STATUS=...". Returns 1: sent, 0: nobody listens. */
ASM_API int asm_notify(const char *state);

#ifdef __cplusplus
}
#endif
