/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is what we show still true? Pure; boot time (CLOCK_BOOTTIME, ms) comes in.
 *
 * A TICK vouches for everything that the daemon has put. Until the first TICK
 * of a connection, a body put over that connection vouches for itself; one
 * from an earlier connection is stale. Time in suspend counts: after a resume
 * all is stale until the daemon says otherwise.
 */
#pragma once

#include "tree.h"

/* `,"stale":false,"age_ms":9223372036854775807}` and a newline; the text line
 * is shorter.
 */
#define SASM_TAIL_BYTES 64

struct sasm_freshness {
	bool is_connected;
	uint64_t connection; /* its number, from 1; 0 = there was none yet */
	int64_t connected_ms;
	int64_t tick_ms; /* of this connection; 0 = none yet */
	int64_t heard_ms; /* the last TICK of any connection; 0 = never */
};

void sasm_freshness_connect(struct sasm_freshness *freshness, int64_t now_ms);
void sasm_freshness_disconnect(struct sasm_freshness *freshness);
void sasm_freshness_tick(struct sasm_freshness *freshness, int64_t now_ms);

/*
 * What follows the node's body for a reader who opens it now: the end of a
 * JSON object, the line of a stale text, or nothing. Returns its length.
 */
uint32_t sasm_freshness_tail(const struct sasm_freshness *freshness, const struct sasm_node *node,
			     int64_t now_ms, char tail[SASM_TAIL_BYTES]);
