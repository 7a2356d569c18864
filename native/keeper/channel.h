/* SPDX-License-Identifier: Apache-2.0 */
/* The one connection to asmd: records with descriptors, and who may make it. */
#pragma once
#include "protocol.h"

#include <stdbool.h>

/*
 * Bind and listen (mode 0600) at `path`, replacing a leftover. Descriptor, or -errno (-EADDRINUSE:
 * another keeper listens there).
 */
int sasm_channel_listen(const char *path);

/*
 * Accept a peer that is root and outside every agent's cgroup; others are closed at once.
 * Descriptor or -errno (-EACCES: refused).
 */
int sasm_channel_accept(int listener);

/* Whether the peer has gone; what it sent before may still be read. */
bool sasm_channel_is_closed(int fd);

/* Send one record with up to SASM_SPAWN_FD_NUM descriptors. 0, or -EAGAIN when the peer is slow. */
int sasm_channel_send(int fd, const struct sasm_keeper_message *message, const int *fds,
		      unsigned int fd_count);

/*
 * Receive one record. Missing descriptors are -1; all received ones belong to the caller, whatever
 * is returned. 1 = a record, 0 = closed by the peer, -EAGAIN, or -errno (-EPROTO: not a record of
 * ours).
 */
int sasm_channel_receive(int fd, struct sasm_keeper_message *ret_message,
			 int ret_fds[SASM_SPAWN_FD_NUM]);
