// SPDX-License-Identifier: Apache-2.0
/* Source: pipe(7): a pipe polls writable when PIPE_BUF bytes fit. */
#include "say.h"

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char prefix[] = "asm-procfs: ";

void sasm_say(const char *format, ...)
{
	struct pollfd output = { .fd = STDERR_FILENO, .events = POLLOUT };
	char line[PIPE_BUF / 4];
	size_t length = sizeof(prefix) - 1;
	va_list arguments;

	memcpy(line, prefix, length);
	va_start(arguments, format);
	vsnprintf(line + length, sizeof(line) - length - 1, format, arguments);
	va_end(arguments);
	length = strlen(line);
	line[length++] = '\n';
	/* There is nobody to tell that there is nobody to tell. */
	if (poll(&output, 1, 0) == 1 && (output.revents & POLLOUT))
		(void)!write(STDERR_FILENO, line, length);
}
