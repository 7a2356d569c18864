/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body: immutable bytes with a reference count, and the store that counts
 * them. A file's text, or a directory's encoded listing.
 *
 * A body is current while its node refers to it; once replaced it is
 * superseded, and lives on only for the open files that took it. Superseded
 * bodies are bounded (limits.h): the oldest lose their bytes first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct sasm_body {
	uint32_t references;
	uint32_t bytes;
	char *data; /* NULL once evicted (or when there are no bytes) */
	bool is_superseded;
	TAILQ_ENTRY(sasm_body) superseded;
};

struct sasm_store {
	size_t current_bytes;
	size_t superseded_bytes;
	TAILQ_HEAD(, sasm_body) superseded; /* oldest first */
};

void sasm_store_init(struct sasm_store *store);

/* A new current body with room for `bytes`, one reference, counted by nobody
 * until sasm_body_adopt(). NULL without memory.
 */
struct sasm_body *sasm_body_new(uint32_t bytes);

/* Counts the body as current; the caller's reference becomes the node's. */
void sasm_body_adopt(struct sasm_store *store, struct sasm_body *body);

/* The node lets go of its body: freed, or superseded if readers hold it. */
void sasm_body_supersede(struct sasm_store *store, struct sasm_body *body);

void sasm_body_take(struct sasm_body *body);
void sasm_body_release(struct sasm_store *store, struct sasm_body *body);

/* True when the bytes were taken away from under a slow reader. */
bool sasm_body_is_evicted(const struct sasm_body *body);
