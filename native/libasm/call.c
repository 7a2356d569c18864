/* SPDX-License-Identifier: Apache-2.0 */
/* Which door a call goes through, and from a system call's words to a request of the socket. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asm.h"
#include "exchange.h"
#include "table.h"

/* Nobody's memory begins so low (spec/asm.md 1.13): said before a kernel is asked. */
#define ADDRESS_MIN 4096
#define WORDS 4

static _Atomic int chosen_doors; /* enum asm_doors; 0: the environment has not been asked */

static int doors_of_environment(void) {
  const char *text = secure_getenv("ASM_DOORS");
  if (text == NULL) return ASM_DOORS_SYSCALL_SOCKET;
  if (strcmp(text, "socket,syscall") == 0) return ASM_DOORS_SOCKET_SYSCALL;
  if (strcmp(text, "syscall") == 0) return ASM_DOORS_SYSCALL;
  if (strcmp(text, "socket") == 0) return ASM_DOORS_SOCKET;
  return ASM_DOORS_SYSCALL_SOCKET;
}

static int doors(void) {
  int found = atomic_load(&chosen_doors);
  if (found != 0) return found;
  int wanted = doors_of_environment();
  /* What asm_set_doors has set meanwhile counts more. */
  return atomic_compare_exchange_strong(&chosen_doors, &found, wanted) ? wanted : found;
}

int asm_set_doors(enum asm_doors wanted) {
  if (wanted < ASM_DOORS_SYSCALL_SOCKET || wanted > ASM_DOORS_SOCKET) {
    errno = EINVAL;
    return -1;
  }
  atomic_store(&chosen_doors, wanted);
  return 0;
}

static int take_bytes(struct request *request, long address, size_t length) {
  if (length > 0 && (unsigned long)address < ADDRESS_MIN) return -EFAULT;
  if (length > FRAME_BYTES_MAX - sizeof(request->words)) return -EINVAL;
  request->in = (const void *)address;
  request->in_length = length;
  return 0;
}

static int take_path(struct request *request, long address) {
  if ((unsigned long)address < ADDRESS_MIN) return -EFAULT;
  size_t length = strnlen((const char *)address, ASM_PATH_BYTES_MAX + 1);
  return length > ASM_PATH_BYTES_MAX ? -EINVAL : take_bytes(request, address, length);
}

static int take_room(struct request *request, long address, long size) {
  if ((unsigned long)address < ADDRESS_MIN) return -EFAULT;
  request->out = (void *)address;
  request->out_size = (size_t)size;
  return 0;
}

/* Turns a system call's words into a request: addresses and what they point to are taken out. */
static int request_of(long number, const long words[WORDS], struct request *ret_request) {
  const struct call_shape *shape = &call_shapes[number - FIRST_CALL];
  struct request request = {
      .number = (int)number, .has_effect = shape->has_effect, .is_patient = shape->is_patient};
  int given = 0, taken = 0, failed = 0;
  for (const char *way = shape->parameters; *way != '\0' && failed == 0; way++) {
    long word = words[given++];
    if (*way == 'p' && words[1] == PATH_PATCH) {
      failed = take_path(&request, word);
      word = 0;
    } else if (*way == 'i') {
      failed = take_bytes(&request, word, (size_t)words[given++]);
      continue;
    } else if (*way == 'o') {
      failed = take_room(&request, word, words[given]);
      word = words[given++];
    }
    request.words[taken++] = word;
  }
  *ret_request = request;
  return failed;
}

static long through_socket(long number, const long words[WORDS]) {
  struct request request;
  int failed = request_of(number, words, &request);
  if (failed) return failed;
  int cancelling;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelling); /* it would leak the connection */
  long result = asm_exchange(&request);
  pthread_setcancelstate(cancelling, &cancelling);
  return result;
}

static long through_kernel(long number, const long words[WORDS]) {
  long result = syscall(number, words[0], words[1], words[2], words[3]);
  return result < 0 ? -errno : result;
}

static bool is_no_door(long result) {
  return result == -ENOSYS || result == -ENOENT || result == -ECONNREFUSED || result == -EACCES;
}

/* What "nobody listens" is called when no other door is left. */
static long final_word(long result) {
  if (result == -ENOENT) return -ENOSYS;
  if (result == -ECONNREFUSED) return -EAGAIN; /* the file is there: asmd is away for the moment */
  if (result == -EACCES) return -EPERM;
  return result;
}

static long call(long number, const long words[WORDS]) {
  long result;
  switch (doors()) {
    case ASM_DOORS_SYSCALL:
      return through_kernel(number, words);
    case ASM_DOORS_SOCKET:
      return final_word(through_socket(number, words));
    case ASM_DOORS_SOCKET_SYSCALL:
      result = through_socket(number, words);
      if (is_no_door(result)) {
        long other = through_kernel(number, words);
        if (other != -ENOSYS) return other;
      }
      return final_word(result);
    default:
      result = through_kernel(number, words);
      return result == -ENOSYS ? final_word(through_socket(number, words)) : result;
  }
}

long asm_call(long number, long a, long b, long c, long d) {
  const long words[WORDS] = {a, b, c, d};
  int before = errno;
  long result = number < FIRST_CALL || number > LAST_CALL ? -EINVAL : call(number, words);
  errno = result < 0 ? (int)-result : before;
  return result < 0 ? -1 : result;
}
