/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections kept between calls: a few words that threads swap atomically, so nobody ever waits
 * for anybody, also in a signal handler.
 *
 * A kept connection is one word: the process that made it, the descriptor, and the inode of its
 * socket. By these it is known again: a child of fork must not use (and does close) its parent's,
 * whose answers would mix; and a program may have closed all its descriptors, and the number may be
 * something else's by now.
 */
#include "connections.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define KEPT_MAX 4
#define FD_BITS 20
#define FIELD_BITS 22 /* pids have no more; of the inode the low ones do */
#define CONNECT_SECONDS 5

static const char DEFAULT_SOCKET[] = "/run/asm/asm.sock";
/* 0: none. Else pid, inode and descriptor + 1, from the high bits to the low. */
static _Atomic uint64_t kept[KEPT_MAX];

static uint64_t field(uint64_t value) { return value & ((1u << FIELD_BITS) - 1); }

/* 0 when the descriptor is no socket (or one in four million that is not kept for it). */
static uint64_t inode_of(int fd) {
  struct stat status;
  if (fstat(fd, &status) < 0 || !S_ISSOCK(status.st_mode)) return 0;
  return field(status.st_ino);
}

static uint64_t word_of(int fd) {
  uint64_t inode = inode_of(fd);
  if (inode == 0 || fd + 1 >= 1 << FD_BITS) return 0;
  return field((uint64_t)getpid()) << (FIELD_BITS + FD_BITS) | inode << FD_BITS | (uint64_t)(fd + 1);
}

/* Between calls nothing can be read: what can is the end, or an answer that came too late. */
static bool is_quiet(int fd) {
  char byte;
  return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static int usable(uint64_t word) {
  int fd = (int)(word & ((1u << FD_BITS) - 1)) - 1;
  uint64_t inode = field(word >> FD_BITS);
  if (inode_of(fd) != inode) return -1; /* closed behind our back, and not ours any more */
  if (word >> (FIELD_BITS + FD_BITS) == field((uint64_t)getpid()) && is_quiet(fd)) return fd;
  close(fd);
  return -1;
}

static int connect_now(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char *path = secure_getenv("ASM_SOCKET");
  if (path == NULL || *path == '\0') path = DEFAULT_SOCKET;
  if (strlen(path) >= sizeof(address.sun_path)) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  /* connect(2) to a full queue gives up at once on a non-blocking socket: this one waits a while. */
  struct timeval patience = {.tv_sec = CONNECT_SECONDS};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  int failed;
  do {
    failed = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
  } while (failed == EINTR);
  if (failed == 0) return fd;
  close(fd);
  return failed == EAGAIN ? -ETIMEDOUT : -failed;
}

int asm_connection_take(bool is_fresh, bool *ret_is_kept) {
  *ret_is_kept = false;
  for (int i = 0; i < KEPT_MAX; i++) {
    uint64_t word = atomic_exchange(&kept[i], 0);
    if (word == 0) continue;
    int fd = usable(word);
    if (fd < 0) continue;
    if (!is_fresh) {
      *ret_is_kept = true;
      return fd;
    }
    close(fd); /* asmd went away under one of them: the others are of the same one */
  }
  return connect_now();
}

void asm_connection_give(int fd) {
  uint64_t word = word_of(fd);
  for (int i = 0; i < KEPT_MAX && word != 0; i++) {
    uint64_t none = 0;
    if (atomic_compare_exchange_strong(&kept[i], &none, word)) return;
  }
  close(fd);
}
