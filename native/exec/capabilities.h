/* SPDX-License-Identifier: Apache-2.0 */
/* Linux capabilities by raw system calls: libcap would be a dependency for two calls. */
#pragma once
#include <stdint.h>

/* Remove from the bounding set all that is not in `kept`. 0, or -1 with errno. */
int sasm_drop_bounding_set(uint64_t kept);

/*
 * Make the permitted, effective, inheritable and ambient sets `kept`, as far as we have it. 0, or -1
 * with errno.
 */
int sasm_set_capabilities(uint64_t kept);
