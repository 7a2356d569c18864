/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call over the socket: a frame there, a frame back (supervisord_asm/api/wire.py).
 *
 * A connection on which anything went wrong is closed, so an answer that comes too late is never
 * taken for another call's. Once a frame has been sent whole, asmd may have acted on it: a call with
 * an effect is not sent again then, whatever happens.
 */
#include "exchange.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "connections.h"
#include "table.h"

#define ANSWER_MS 5000

/* What one attempt came to, beside a result or -errno of the call. */
enum outcome {
  DONE,
  NOT_SENT, /* asmd cannot have seen it */
  LOST,     /* sent, and the connection ended without an answer */
};

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until the descriptor is ready. A deadline below 0: for as long as it takes. */
static int wait_for(int fd, short events, int64_t deadline_ms) {
  for (;;) {
    int64_t left = deadline_ms < 0 ? -1 : deadline_ms - now_ms();
    if (deadline_ms >= 0 && left <= 0) return -ETIMEDOUT;
    struct pollfd polled = {.fd = fd, .events = events};
    int ready = poll(&polled, 1, (int)left);
    if (ready > 0) return 0;
    if (ready < 0 && errno != EINTR) return -errno;
  }
}

static int send_all(int fd, struct iovec *parts, size_t count, int64_t deadline_ms) {
  while (count > 0) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) {
      int failed = wait_for(fd, POLLOUT, deadline_ms);
      if (failed) return failed;
      continue;
    }
    if (sent < 0) return -errno;
    while (count > 0 && (size_t)sent >= parts->iov_len) {
      sent -= (ssize_t)parts->iov_len;
      parts++;
      count--;
    }
    if (count == 0) break;
    parts->iov_base = (char *)parts->iov_base + sent;
    parts->iov_len -= (size_t)sent;
  }
  return 0;
}

static int receive_all(int fd, void *into, size_t length, int64_t deadline_ms) {
  while (length > 0) {
    ssize_t got = recv(fd, into, length, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      int failed = wait_for(fd, POLLIN, deadline_ms);
      if (failed) return failed;
      continue;
    }
    if (got == 0) return -ECONNRESET;
    if (got < 0) return -errno;
    into = (char *)into + got;
    length -= (size_t)got;
  }
  return 0;
}

/* A refusal may come with words, which nobody here reads. */
static int drop(int fd, size_t length, int64_t deadline_ms) {
  char dropped[512];
  while (length > 0) {
    size_t part = length < sizeof(dropped) ? length : sizeof(dropped);
    int failed = receive_all(fd, dropped, part, deadline_ms);
    if (failed) return failed;
    length -= part;
  }
  return 0;
}

static int receive_answer(int fd, const struct request *request, uint64_t id, long *ret_result) {
  struct frame reply;
  int failed = wait_for(fd, POLLIN, request->is_patient ? -1 : now_ms() + ANSWER_MS);
  if (failed) return failed;
  int64_t deadline_ms = now_ms() + ANSWER_MS; /* what has begun comes to its end, or never does */
  failed = receive_all(fd, &reply, sizeof(reply), deadline_ms);
  if (failed) return failed;
  bool is_ours = reply.magic == FRAME_MAGIC && reply.version == FRAME_VERSION &&
                 reply.number == request->number && reply.request_id == id && reply.flags == 0;
  if (!is_ours || reply.length > FRAME_BYTES_MAX) return -EPROTO;
  if (reply.result < 0)
    failed = drop(fd, reply.length, deadline_ms);
  else if (reply.length > request->out_size)
    failed = -EPROTO;
  else
    failed = receive_all(fd, request->out, reply.length, deadline_ms);
  *ret_result = reply.result;
  return failed;
}

static enum outcome try_once(const struct request *request, bool is_fresh, bool *ret_is_kept,
                             long *ret_result) {
  static _Atomic uint64_t requests;
  int fd = asm_connection_take(is_fresh, ret_is_kept);
  if (fd < 0) {
    *ret_result = fd;
    return DONE;
  }
  struct frame header = {
      .magic = FRAME_MAGIC,
      .version = FRAME_VERSION,
      .number = (uint16_t)request->number,
      .request_id = atomic_fetch_add(&requests, 1),
      .length = (uint32_t)(sizeof(request->words) + request->in_length),
  };
  struct iovec parts[] = {
      {&header, sizeof(header)},
      {(void *)request->words, sizeof(request->words)},
      {(void *)request->in, request->in_length},
  };
  size_t count = request->in_length > 0 ? 3 : 2;
  int failed = send_all(fd, parts, count, now_ms() + ANSWER_MS);
  bool is_sent = failed == 0;
  if (is_sent) failed = receive_answer(fd, request, header.request_id, ret_result);
  if (failed == 0) {
    asm_connection_give(fd);
    return DONE;
  }
  close(fd);
  *ret_result = failed;
  if (failed != -EPIPE && failed != -ECONNRESET) return DONE;
  return is_sent ? LOST : NOT_SENT;
}

long asm_exchange(const struct request *request) {
  for (int attempt = 0;; attempt++) {
    bool is_kept;
    long result = 0;
    enum outcome outcome = try_once(request, attempt > 0, &is_kept, &result);
    if (outcome == DONE) return result;
    if (outcome == LOST && request->has_effect) return -ECONNRESET;
    /* A kept connection may have been of an asmd that is gone; a new one that is cut is too many. */
    if (!is_kept || attempt > 0) return -EAGAIN;
  }
}
