// SPDX-License-Identifier: Apache-2.0
// Preloaded: gives a program that says syscall(500, ...) the socket for a door, where no filter
// answers. So the guide's examples run as printed before, and beside, the kernel's own door.
#include <asm.h>
#include <stdarg.h>
#include <unistd.h>

long syscall(long number, ...) {
  va_list given;
  va_start(given, number);
  long a = va_arg(given, long), b = va_arg(given, long), c = va_arg(given, long);
  long d = va_arg(given, long), e = va_arg(given, long), f = va_arg(given, long);
  va_end(given);
  if (number >= ASM_CALL_TELEMETRY && number <= ASM_CALL_DEPENDENCY)
    return asm_call(number, a, b, c, d);
  long result;
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;  // nothing else of these programs asks for errno
}
