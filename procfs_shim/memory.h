/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that leaves libfuse some room. libfuse allocates about 200 bytes
 * for each request; where it cannot, it answers ENOMEM by itself and we never
 * hear of the request. For a RELEASE that would leak an open file, and for an
 * INTERRUPT leave a reader that nothing can kill.
 *
 * So our own allocations give up first: the first one that fails frees a
 * reserve, and until the reserve can be had again, all of them are refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Once, at the start. False without memory. */
bool sasm_memory_init(void);
void sasm_memory_clear(void);

/* As malloc() and calloc(); free() as usual. */
void *sasm_allocate(size_t bytes);
void *sasm_allocate_zeroed(size_t bytes);
