// SPDX-License-Identifier: Apache-2.0
/*
 * Nodes and their two hash tables: by number for the kernel's requests, by
 * (parent, name) for lookups. Fixed tables, no rehash: the bound on files is
 * fixed too.
 */
#include "node.h"

#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOT_INITIALIZED "Agent Supervision Module not initialized"

static struct sasm_bucket *bucket_of_ino(struct sasm_tree *tree, uint64_t ino)
{
	return &tree->by_ino[ino & (SASM_TREE_BUCKETS - 1)];
}

static struct sasm_bucket *bucket_of_name(struct sasm_tree *tree, uint64_t parent_ino,
					  const char *name)
{
	uint64_t hash = 0xcbf29ce484222325u ^ parent_ino; /* FNV-1a, 64 bit */

	while (*name)
		hash = (hash ^ (unsigned char)*name++) * 0x100000001b3u;
	return &tree->by_name[(hash ^ hash >> 32) & (SASM_TREE_BUCKETS - 1)];
}

/* A directory's encoded listing is made anew by the next reader (listing.c). */
static void touch_directory(struct sasm_tree *tree, struct sasm_node *directory,
			    const struct sasm_when *now)
{
	sasm_body_supersede(&tree->store, directory->body);
	directory->body = NULL;
	directory->changed = now->wall;
}

struct sasm_node *sasm_node_new(struct sasm_tree *tree, struct sasm_node *parent, const char *name,
				enum sasm_kind kind, const struct sasm_when *now)
{
	size_t length = strlen(name);
	struct sasm_node *node = sasm_allocate_zeroed(sizeof(*node) + length + 1);

	if (!node)
		return NULL;
	memcpy(node->name, name, length);
	node->ino = tree->next_ino++;
	node->kind = kind;
	node->changed = now->wall;
	node->parent = parent;
	LIST_INIT(&node->children);
	LIST_INSERT_HEAD(bucket_of_ino(tree, node->ino), node, by_ino);
	if (!parent)
		return node;
	LIST_INSERT_HEAD(bucket_of_name(tree, parent->ino, node->name), node, by_name);
	LIST_INSERT_HEAD(&parent->children, node, sibling);
	if (kind == SASM_DIRECTORY)
		parent->directory_count++;
	else
		tree->file_count++;
	touch_directory(tree, parent, now);
	return node;
}

static void free_node(struct sasm_tree *tree, struct sasm_node *node)
{
	LIST_REMOVE(node, by_ino);
	sasm_body_supersede(&tree->store, node->body);
	free(node);
}

void sasm_node_detach(struct sasm_tree *tree, struct sasm_node *node, const struct sasm_when *now)
{
	struct sasm_node *parent = node->parent;

	LIST_REMOVE(node, sibling);
	LIST_REMOVE(node, by_name);
	node->parent = NULL;
	if (node->kind == SASM_DIRECTORY)
		parent->directory_count--;
	else
		tree->file_count--;
	touch_directory(tree, parent, now);
	if (!node->open_count)
		free_node(tree, node);
}

void sasm_node_prune(struct sasm_tree *tree, struct sasm_node *directory,
		     const struct sasm_when *now)
{
	while (directory->parent && !directory->is_fixed && LIST_EMPTY(&directory->children)) {
		struct sasm_node *parent = directory->parent;

		sasm_node_detach(tree, directory, now);
		directory = parent;
	}
}

void sasm_node_open(struct sasm_node *node)
{
	node->open_count++;
}

void sasm_node_close(struct sasm_tree *tree, struct sasm_node *node)
{
	if (!--node->open_count && !sasm_tree_has(tree, node))
		free_node(tree, node);
}

bool sasm_tree_has(const struct sasm_tree *tree, const struct sasm_node *node)
{
	return node->parent || node == tree->root;
}

struct sasm_node *sasm_tree_find(struct sasm_tree *tree, uint64_t ino)
{
	struct sasm_node *node;

	LIST_FOREACH(node, bucket_of_ino(tree, ino), by_ino)
		if (node->ino == ino)
			return node;
	return NULL;
}

struct sasm_node *sasm_tree_child(struct sasm_tree *tree, const struct sasm_node *parent,
				  const char *name)
{
	struct sasm_node *node;

	LIST_FOREACH(node, bucket_of_name(tree, parent->ino, name), by_name)
		if (node->parent == parent && !strcmp(node->name, name))
			return node;
	return NULL;
}

static int put_placeholder(struct sasm_tree *tree, const char *name, enum sasm_kind kind,
			   const char *text, const struct sasm_when *now)
{
	struct sasm_when never = { .boot_ms = 0, .wall = now->wall };
	struct sasm_body *body = sasm_body_new((uint32_t)strlen(text));
	int r;

	if (!body)
		return -ENOMEM;
	memcpy(body->data, text, body->bytes);
	r = sasm_tree_put(tree, name, kind, body, &never);
	if (r < 0)
		sasm_body_release(&tree->store, body);
	return r;
}

int sasm_tree_init(struct sasm_tree *tree, const struct sasm_when *now)
{
	struct sasm_node *agents, *events;
	int r;

	memset(tree, 0, sizeof(*tree));
	sasm_store_init(&tree->store);
	tree->next_ino = SASM_ROOT_INO;
	tree->root = sasm_node_new(tree, NULL, "", SASM_DIRECTORY, now);
	if (!tree->root)
		return -ENOMEM;
	agents = sasm_node_new(tree, tree->root, "agents", SASM_DIRECTORY, now);
	events = sasm_node_new(tree, tree->root, "events", SASM_STREAM, now);
	if (!agents || !events)
		return -ENOMEM;
	agents->is_fixed = true;
	events->is_fixed = true;
	r = put_placeholder(tree, "resources", SASM_TEXT, NOT_INITIALIZED "\n", now);
	if (!r)
		r = put_placeholder(tree, "telemetry", SASM_JSON,
				    "{\"error\":\"" NOT_INITIALIZED "\"", now);
	if (!r)
		r = put_placeholder(tree, "status", SASM_TEXT, NOT_INITIALIZED "\n", now);
	return r;
}

/* Only at the very end: whoever still has a file open is answered no more. */
void sasm_tree_clear(struct sasm_tree *tree)
{
	for (size_t i = 0; i < SASM_TREE_BUCKETS; i++) {
		struct sasm_node *node;

		while ((node = LIST_FIRST(&tree->by_ino[i])))
			free_node(tree, node);
	}
}
