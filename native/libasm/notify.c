/* SPDX-License-Identifier: Apache-2.0 */
/* sd_notify(3) without libsystemd: one datagram to NOTIFY_SOCKET. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "asm.h"

int asm_notify(const char *state) {
  const char *path = secure_getenv("NOTIFY_SOCKET");
  if (path == NULL || *path == '\0') return 0;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (state == NULL || length >= sizeof(address.sun_path)) {
    errno = state == NULL ? EFAULT : ENAMETOOLONG;
    return -1;
  }
  memcpy(address.sun_path, path, length);
  if (*path == '@') address.sun_path[0] = '\0'; /* an abstract one */
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  ssize_t sent;
  do {
    sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
  } while (sent < 0 && errno == EINTR);
  int failed = errno;
  close(fd);
  errno = failed;
  return sent < 0 ? -1 : 1;
}
