/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of asm.h: each is asm_call with the types of its parameters. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "asm.h"

#define WORD(address) ((long)(address))

static long call_with_text(long number, const char *text, long c, long d) {
  if (text == NULL) {
    errno = EFAULT;
    return -1;
  }
  return asm_call(number, WORD(text), (long)strlen(text), c, d);
}

ssize_t asm_telemetry(char *buffer, size_t size) {
  return asm_call(ASM_CALL_TELEMETRY, WORD(buffer), (long)size, 0, 0);
}

ssize_t asm_agent_info(int agent_id, char *buffer, size_t size) {
  return asm_call(ASM_CALL_AGENT_INFO, agent_id, WORD(buffer), (long)size, 0);
}

int asm_policy_patch(int agent_id, enum asm_patch patch, long value) {
  return (int)asm_call(ASM_CALL_POLICY_PATCH, agent_id, (long)patch, value, 0);
}

int asm_policy_scope(int agent_id, const char *path) {
  return asm_policy_patch(agent_id, ASM_PATCH_UPDATE_SCOPE, WORD(path));
}

ssize_t asm_llm_request(const char *request, size_t length, char *response, size_t size) {
  return asm_call(ASM_CALL_LLM_REQUEST, WORD(request), (long)length, WORD(response), (long)size);
}

int asm_heartbeat(void) { return (int)asm_call(ASM_CALL_HEARTBEAT, 0, 0, 0, 0); }

int asm_track_tool_call(const char *tool, int64_t credits_milli, int64_t tokens) {
  return (int)call_with_text(ASM_CALL_TRACK_TOOL_CALL, tool, credits_milli, tokens);
}

int asm_lock(const char *name, int64_t timeout_ms) {
  return (int)call_with_text(ASM_CALL_LOCK, name, timeout_ms, 0);
}

int asm_unlock(const char *name) { return (int)call_with_text(ASM_CALL_UNLOCK, name, 0, 0); }

int asm_profile_sample(const char *operation, int64_t duration_us, int success) {
  return (int)call_with_text(ASM_CALL_PROFILE_SAMPLE, operation, duration_us, success != 0);
}

int64_t asm_profile_begin(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int asm_profile_end(const char *operation, int64_t begun_us, int success) {
  return asm_profile_sample(operation, asm_profile_begin() - begun_us, success);
}

int asm_compliance_event(const char *event, size_t length) {
  return (int)asm_call(ASM_CALL_COMPLIANCE_EVENT, WORD(event), (long)length, 0, 0);
}

ssize_t asm_budget(const char *request, size_t length, char *answer, size_t size) {
  return asm_call(ASM_CALL_BUDGET, WORD(request), (long)length, WORD(answer), (long)size);
}

int asm_dependency(enum asm_dependency change, int agent_id, enum asm_edge edge) {
  return (int)asm_call(ASM_CALL_DEPENDENCY, (long)change, agent_id, (long)edge, 0);
}
