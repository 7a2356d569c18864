/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's one state, and what its files call of each other. */
#pragma once
#include "children.h"
#include "daemon.h"

#include <stdint.h>

/* What an epoll entry is about: the kind in the upper half, the child's index in the lower. */
enum sasm_source { SIGNALS, DAEMON, LISTENER, CHANNEL, STATUS, OUTPUT_OUT, OUTPUT_ERR };

/* How far the talk with asmd has come. Each step waits until its records were taken. */
enum sasm_talk {
	SASM_TALK_NONE, /* nobody is there, or has not said HELLO yet: tells and is told nothing */
	SASM_TALK_HELLO, /* our HELLO is due */
	SASM_TALK_CHILDREN, /* a CHILD each, then SYNCED; news wait */
	SASM_TALK_NEWS,
};

struct sasm_keeper {
	int epoll_fd;
	int signal_fd;
	int listen_fd;
	int channel_fd; /* -1: no asmd */
	int exec_fd;
	enum sasm_talk talk;
	bool is_channel_full;
	bool has_zombies; /* a sweep ended at its bound: another is due */
	bool quits;
	unsigned int untold; /* children with something to tell: no scan when there is none */
	unsigned int greeted; /* CHILD records of this greeting */
	struct sasm_daemon daemon;
};

/* keeper.c: add to and take from the epoll set; the clock of the daemon's deadlines. */
int sasm_watch(struct sasm_keeper *keeper, int fd, enum sasm_source source, int index,
	       uint32_t events);
void sasm_unwatch(struct sasm_keeper *keeper, int fd);
long long sasm_now_ms(void);

/* reap.c: take the exit of everything that has ended; drop a child that nobody asks for any more. */
void sasm_sweep(struct sasm_keeper *keeper);
void sasm_forget(struct sasm_keeper *keeper, struct sasm_child *child);

/* news.c: what asmd has still to be told. */
void sasm_tell(struct sasm_keeper *keeper, struct sasm_child *child, uint8_t what);
bool sasm_has_news(const struct sasm_keeper *keeper);
void sasm_tell_news(struct sasm_keeper *keeper);
void sasm_greet(struct sasm_keeper *keeper);
void sasm_drop_channel(struct sasm_keeper *keeper, const char *why);
void sasm_set_output_watched(struct sasm_keeper *keeper, bool is_watched);

/* orders.c: what asmd wants done. */
void sasm_accept_peer(struct sasm_keeper *keeper);
void sasm_read_orders(struct sasm_keeper *keeper);
