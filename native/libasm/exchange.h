/* SPDX-License-Identifier: Apache-2.0 */
/* One call over the socket. Private to libasm. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `in` goes as it lies in the caller's memory, the answer comes straight into `out`. */
struct request {
  int number;
  bool has_effect;
  bool is_patient;
  int64_t words[4];
  const void *in;
  size_t in_length;
  void *out;
  size_t out_size;
};

/* Returns the call's result, or a negative errno: -ENOENT and -ECONNREFUSED when nobody listens. */
long asm_exchange(const struct request *request);
