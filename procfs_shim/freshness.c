// SPDX-License-Identifier: Apache-2.0
/* Staleness and how it is written; see freshness.h. */
#include "freshness.h"

#include "limits.h"

#include <inttypes.h>
#include <stdio.h>

void sasm_freshness_connect(struct sasm_freshness *freshness, int64_t now_ms)
{
	freshness->is_connected = true;
	freshness->connection++;
	freshness->connected_ms = now_ms;
	freshness->tick_ms = 0;
}

void sasm_freshness_disconnect(struct sasm_freshness *freshness)
{
	freshness->is_connected = false;
}

void sasm_freshness_tick(struct sasm_freshness *freshness, int64_t now_ms)
{
	freshness->tick_ms = now_ms;
	freshness->heard_ms = now_ms;
}

static bool is_stale(const struct sasm_freshness *freshness, const struct sasm_node *node,
		     int64_t now_ms)
{
	int64_t vouched_ms = freshness->tick_ms;

	if (!freshness->is_connected)
		return true;
	if (!vouched_ms) {
		if (node->put_connection != freshness->connection)
			return true;
		vouched_ms = freshness->connected_ms;
	}
	return now_ms - vouched_ms > SASM_STALE_AFTER_MS;
}

static int write_json_tail(const struct sasm_node *node, bool stale, int64_t age_ms, char *tail)
{
	const struct sasm_body *body = node->body;
	/* "{" alone is the empty object: no comma after it. */
	const char *comma = body->data[body->bytes - 1] == '{' ? "" : ",";

	if (!node->put_ms)
		return snprintf(tail, SASM_TAIL_BYTES, "%s\"stale\":true,\"age_ms\":null}\n", comma);
	return snprintf(tail, SASM_TAIL_BYTES, "%s\"stale\":%s,\"age_ms\":%" PRId64 "}\n", comma,
			stale ? "true" : "false", age_ms);
}

uint32_t sasm_freshness_tail(const struct sasm_freshness *freshness, const struct sasm_node *node,
			     int64_t now_ms, char tail[SASM_TAIL_BYTES])
{
	const struct sasm_body *body = node->body;
	int64_t updated_ms = node->put_ms;
	bool stale = is_stale(freshness, node, now_ms);
	int64_t age_ms;
	int length = 0;

	if (updated_ms < freshness->heard_ms)
		updated_ms = freshness->heard_ms;
	age_ms = now_ms - updated_ms;
	if (node->kind == SASM_JSON) {
		length = write_json_tail(node, stale, age_ms, tail);
	} else if (stale && node->put_ms) {
		const char *newline = "";

		if (body->bytes && body->data[body->bytes - 1] != '\n')
			newline = "\n";
		length = snprintf(tail, SASM_TAIL_BYTES,
				  "%sStale: last update %" PRId64 ".%" PRId64 " s ago\n", newline,
				  age_ms / 1000, age_ms % 1000 / 100);
	}
	return (uint32_t)length;
}
