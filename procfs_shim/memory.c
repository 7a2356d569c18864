// SPDX-License-Identifier: Apache-2.0
/* The reserve; see memory.h. */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

/*
 * Some hundred requests at once, where one at a time is usual. Below malloc's
 * threshold for mmap (128 KiB), so that freeing it feeds the heap at hand and
 * not the kernel.
 */
#define RESERVE_BYTES (96u << 10)

static void *reserve;

bool sasm_memory_init(void)
{
	if (!reserve)
		reserve = malloc(RESERVE_BYTES);
	return reserve;
}

void sasm_memory_clear(void)
{
	free(reserve);
	reserve = NULL;
}

void *sasm_allocate(size_t bytes)
{
	void *memory = sasm_memory_init() ? malloc(bytes) : NULL;

	if (!memory)
		sasm_memory_clear();
	return memory;
}

void *sasm_allocate_zeroed(size_t bytes)
{
	void *memory = sasm_allocate(bytes);

	if (memory)
		memset(memory, 0, bytes);
	return memory;
}
