/* SPDX-License-Identifier: Apache-2.0 */
/* Connections kept between calls. Private to libasm. */
#pragma once

#include <stdbool.h>

/* Returns a connection that nobody else uses, or -errno. `ret_is_kept`: it served calls before. */
int asm_connection_take(bool is_fresh, bool *ret_is_kept);

/* Keeps a connection that stands between two calls; one too many is closed. */
void asm_connection_give(int fd);
