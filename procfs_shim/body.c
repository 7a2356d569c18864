// SPDX-License-Identifier: Apache-2.0
/* Reference-counted bytes and their accounting; see body.h. */
#include "body.h"

#include "limits.h"
#include "memory.h"

#include <stdlib.h>

void sasm_store_init(struct sasm_store *store)
{
	store->current_bytes = 0;
	store->superseded_bytes = 0;
	TAILQ_INIT(&store->superseded);
}

struct sasm_body *sasm_body_new(uint32_t bytes)
{
	struct sasm_body *body = sasm_allocate_zeroed(sizeof(*body));

	if (!body)
		return NULL;
	/* Bytes apart from the count, so that eviction can free them alone. */
	if (bytes) {
		body->data = sasm_allocate(bytes);
		if (!body->data) {
			free(body);
			return NULL;
		}
	}
	body->references = 1;
	body->bytes = bytes;
	return body;
}

void sasm_body_adopt(struct sasm_store *store, struct sasm_body *body)
{
	store->current_bytes += body->bytes;
}

static void leave_superseded(struct sasm_store *store, struct sasm_body *body)
{
	TAILQ_REMOVE(&store->superseded, body, superseded);
	store->superseded_bytes -= body->bytes;
	body->is_superseded = false;
}

static void evict_oldest(struct sasm_store *store)
{
	while (store->superseded_bytes > SASM_SUPERSEDED_BYTES_MAX) {
		struct sasm_body *oldest = TAILQ_FIRST(&store->superseded);

		leave_superseded(store, oldest);
		free(oldest->data);
		oldest->data = NULL;
	}
}

void sasm_body_supersede(struct sasm_store *store, struct sasm_body *body)
{
	if (!body)
		return;
	store->current_bytes -= body->bytes;
	if (body->references > 1) {
		body->is_superseded = true;
		TAILQ_INSERT_TAIL(&store->superseded, body, superseded);
		store->superseded_bytes += body->bytes;
	}
	sasm_body_release(store, body);
	evict_oldest(store);
}

void sasm_body_take(struct sasm_body *body)
{
	body->references++;
}

void sasm_body_release(struct sasm_store *store, struct sasm_body *body)
{
	if (!body || --body->references)
		return;
	if (body->is_superseded)
		leave_superseded(store, body);
	free(body->data);
	free(body);
}

bool sasm_body_is_evicted(const struct sasm_body *body)
{
	return body->bytes && !body->data;
}
