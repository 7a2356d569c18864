/* SPDX-License-Identifier: GPL-2.0-or-later */
/* records.h for C and BPF code: its types, and its sizes as promised. */
#pragma once

#include <stdint.h>

#include "records.h"

_Static_assert(sizeof(struct sasm_row) == 128, "a row is two cache lines");
_Static_assert(sizeof(struct sasm_cpu) == 64, "a CPU has its own cache line");
_Static_assert(sizeof(struct sasm_calls) == 4096, "a shift finds it");
_Static_assert(sizeof(struct sasm_exec) == 176, "an end is written without the path");
_Static_assert(sizeof(struct sasm_layout) == 40, "the layout is the same for all compilers");
