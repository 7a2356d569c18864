/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line on stderr, with the program's name before it. Never waits: stderr
 * may be a pipe that nobody reads while asmd is away, and readers of the tree
 * must not pay for that. What does not fit is not said.
 */
#pragma once

__attribute__((format(printf, 1, 2))) void sasm_say(const char *format, ...);
