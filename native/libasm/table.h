/* SPDX-License-Identifier: Apache-2.0 */
/* What libasm knows of each call, and the frame of the socket (api/wire.py). */
/* Made from supervisord_asm/api/calls.py by `make calls`. Do not edit. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FRAME_MAGIC 0x314D5341u
#define FRAME_VERSION 1
#define FRAME_BYTES_MAX 1048576 /* of payload */
#define FIRST_CALL 500
#define LAST_CALL 511
#define PATH_PATCH 3 /* its value is a path */

struct frame {
  uint32_t magic;
  uint16_t version;
  uint16_t number;
  uint32_t flags;
  uint64_t request_id;
  uint32_t length; /* of what follows */
  int64_t result;
} __attribute__((packed));

/* 'n' number, 'i' bytes_in, 'o' room_out, 'p' number_or_path: one letter for each parameter. */
struct call_shape {
  const char *parameters;
  bool has_effect; /* never repeated without knowing that it was not done */
  bool is_patient; /* the answer may take as long as it takes */
};

static const struct call_shape call_shapes[] = {
  {"o", false, false}, /* 500 telemetry */
  {"nnp", true, false}, /* 501 policy_patch */
  {"no", false, false}, /* 502 agent_info */
  {"io", true, true}, /* 503 llm_request */
  {"", false, false}, /* 504 heartbeat */
  {"inn", true, false}, /* 505 track_tool_call */
  {"in", true, true}, /* 506 lock */
  {"i", true, false}, /* 507 unlock */
  {"inn", false, false}, /* 508 profile_sample */
  {"i", false, false}, /* 509 compliance_event */
  {"io", true, false}, /* 510 budget */
  {"nnn", false, false}, /* 511 dependency */
};
