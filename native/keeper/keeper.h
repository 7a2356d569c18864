/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's one state, and what its files call of each other. */
#pragma once
#include "children.h"
#include "daemon.h"

#include <stdint.h>

/* What an epoll entry is about: the kind in the upper half, the child's index in the lower. */
enum sasm_source { SIGNALS, DAEMON, LISTENER, CHANNEL, PIDFD, STATUS, OUTPUT_OUT, OUTPUT_ERR };

struct sasm_keeper {
	int epoll_fd;
	int signal_fd;
	int listen_fd;
	int channel_fd; /* -1: no asmd */
	int exec_fd;
	bool is_channel_full;
	bool quits;
	unsigned int untold; /* children with something to tell: no scan when there is none */
	struct sasm_daemon daemon;
};

/* keeper.c: add to and take from the epoll set. */
int sasm_watch(struct sasm_keeper *keeper, int fd, enum sasm_source source, int index,
	       uint32_t events);
void sasm_unwatch(struct sasm_keeper *keeper, int fd);

/* news.c: what asmd has still to be told. */
void sasm_tell(struct sasm_keeper *keeper, struct sasm_child *child, uint8_t what);
void sasm_tell_news(struct sasm_keeper *keeper);
void sasm_greet(struct sasm_keeper *keeper);
void sasm_drop_channel(struct sasm_keeper *keeper, const char *why);
void sasm_set_output_watched(struct sasm_keeper *keeper, bool is_watched);
struct sasm_keeper_message sasm_answer(uint16_t type, int result);

/* orders.c: what asmd wants done. */
void sasm_accept_peer(struct sasm_keeper *keeper);
void sasm_read_orders(struct sasm_keeper *keeper);
