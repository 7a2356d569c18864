/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree: names, kinds, current bodies. Knows no FUSE, socket or clock;
 * times come in as arguments.
 *
 * Inode numbers count upward and are never used twice, so a number that the
 * kernel still remembers names either the same node or none. A name keeps its
 * number as long as it exists and keeps its kind. Directories are implied by
 * the names below them and vanish with the last one; `agents` and `events`
 * always exist.
 *
 * A removed node that somebody has open stays reachable by its number (not by
 * name) until the last one closes it.
 */
#pragma once

#include "body.h"

#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

#define SASM_ROOT_INO 1
#define SASM_TREE_BUCKETS 16384 /* twice the files; a power of two */

enum sasm_kind { SASM_DIRECTORY, SASM_TEXT, SASM_JSON, SASM_LINK, SASM_STREAM };

struct sasm_node {
	uint64_t ino;
	enum sasm_kind kind;
	bool is_fixed;
	uint32_t open_count;
	uint32_t generation; /* of the last sync that put it */
	uint32_t directory_count; /* directories directly below */
	int64_t put_ms; /* boot time of the last PUT; 0 = never … */
	uint64_t put_connection; /* … and over which connection it came */
	struct timespec changed; /* wall clock, for st_mtime */
	struct sasm_body *body; /* text, or encoded listing (may be NULL) */
	struct sasm_node *parent; /* NULL: the root, or removed */
	LIST_HEAD(, sasm_node) children;
	LIST_ENTRY(sasm_node) sibling;
	LIST_ENTRY(sasm_node) by_ino;
	LIST_ENTRY(sasm_node) by_name;
	char name[];
};

LIST_HEAD(sasm_bucket, sasm_node);

struct sasm_tree {
	struct sasm_store store;
	struct sasm_node *root;
	uint64_t next_ino;
	uint32_t file_count;
	uint32_t generation;
	bool is_syncing;
	struct sasm_bucket by_ino[SASM_TREE_BUCKETS];
	struct sasm_bucket by_name[SASM_TREE_BUCKETS];
};

/* When something was put: boot time for ages, wall clock for st_mtime, and the
 * number of the daemon's connection, for clocks cannot tell two in one tick.
 */
struct sasm_when {
	int64_t boot_ms;
	struct timespec wall;
	uint64_t connection;
};

/* The root, `agents`, `events` and the not-initialised texts. 0 or -ENOMEM. */
int sasm_tree_init(struct sasm_tree *tree, const struct sasm_when *now);
void sasm_tree_clear(struct sasm_tree *tree);

struct sasm_node *sasm_tree_find(struct sasm_tree *tree, uint64_t ino);
struct sasm_node *sasm_tree_child(struct sasm_tree *tree, const struct sasm_node *parent,
				  const char *name);

/* True for a node that a path still leads to. */
bool sasm_tree_has(const struct sasm_tree *tree, const struct sasm_node *node);

/*
 * Gives `name` this body, making what is missing. Takes over the reference on
 * success only. -EINVAL: not a name, or it runs through a file, or names a
 * directory or a fixed node; -ENOSPC: a bound of limits.h; -ENOMEM.
 */
int sasm_tree_put(struct sasm_tree *tree, const char *name, enum sasm_kind kind,
		  struct sasm_body *body, const struct sasm_when *now);

/* Removes a file, a link or a whole directory; an absent name is fine. */
int sasm_tree_remove(struct sasm_tree *tree, const char *name, const struct sasm_when *now);

/* Between these two, whatever is not put again vanishes at the end. A second
 * begin starts over (a daemon that died halfway); end without begin: -EINVAL.
 */
void sasm_tree_begin_sync(struct sasm_tree *tree);
int sasm_tree_end_sync(struct sasm_tree *tree, const struct sasm_when *now);

void sasm_node_open(struct sasm_node *node);
void sasm_node_close(struct sasm_tree *tree, struct sasm_node *node);

/* A relative path of 1 to SASM_DEPTH_MAX plain components. */
bool sasm_name_is_valid(const char *name);
