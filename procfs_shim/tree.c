// SPDX-License-Identifier: Apache-2.0
/*
 * What the daemon does to the tree: put, remove, synchronise. The bookkeeping
 * of single nodes is node.c.
 */
#include "node.h"

#include "limits.h"

#include <errno.h>
#include <string.h>

bool sasm_name_is_valid(const char *name)
{
	unsigned int depth = 0;

	for (;;) {
		size_t length = strcspn(name, "/");

		if (!length || ++depth > SASM_DEPTH_MAX)
			return false;
		if (!strncmp(name, ".", length) || !strncmp(name, "..", length))
			return false;
		/* A control character in a name would fool terminals and logs. */
		for (size_t i = 0; i < length; i++)
			if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
				return false;
		if (!name[length])
			return true;
		name += length + 1;
	}
}

/*
 * Splits off the next component: copies it to `component`, returns the rest,
 * or NULL when it was the last. The name is valid, so it fits.
 */
static const char *next_component(const char *name, char component[SASM_NAME_BYTES_MAX + 1])
{
	size_t length = strcspn(name, "/");

	memcpy(component, name, length);
	component[length] = '\0';
	return name[length] ? name + length + 1 : NULL;
}

/* The directory that holds the last component of `name`, made if missing. */
static int make_parents(struct sasm_tree *tree, const char *name, const struct sasm_when *now,
			struct sasm_node **ret_parent, char last[SASM_NAME_BYTES_MAX + 1])
{
	struct sasm_node *parent = tree->root, *child;

	for (;;) {
		name = next_component(name, last);
		if (!name)
			break;
		child = sasm_tree_child(tree, parent, last);
		if (child && child->kind != SASM_DIRECTORY)
			return -EINVAL;
		if (!child)
			child = sasm_node_new(tree, parent, last, SASM_DIRECTORY, now);
		if (!child) {
			sasm_node_prune(tree, parent, now);
			return -ENOMEM;
		}
		parent = child;
	}
	*ret_parent = parent;
	return 0;
}

int sasm_tree_put(struct sasm_tree *tree, const char *name, enum sasm_kind kind,
		  struct sasm_body *body, const struct sasm_when *now)
{
	char last[SASM_NAME_BYTES_MAX + 1];
	struct sasm_node *parent, *node;
	size_t replaced = 0;
	int r;

	if (!sasm_name_is_valid(name))
		return -EINVAL;
	r = make_parents(tree, name, now, &parent, last);
	if (r < 0)
		return r;
	node = sasm_tree_child(tree, parent, last);
	if (node && (node->kind == SASM_DIRECTORY || node->is_fixed))
		return -EINVAL;
	if (node && node->body)
		replaced = node->body->bytes;
	if ((!node && tree->file_count >= SASM_FILES_MAX) ||
	    tree->store.current_bytes - replaced + body->bytes > SASM_CURRENT_BYTES_MAX) {
		sasm_node_prune(tree, parent, now);
		return -ENOSPC;
	}
	/* A file that becomes a link is another inode: the kernel caches types. */
	if (node && (node->kind == SASM_LINK) != (kind == SASM_LINK)) {
		sasm_node_detach(tree, node, now);
		node = NULL;
	}
	if (!node)
		node = sasm_node_new(tree, parent, last, kind, now);
	if (!node) {
		sasm_node_prune(tree, parent, now);
		return -ENOMEM;
	}
	sasm_body_supersede(&tree->store, node->body);
	sasm_body_adopt(&tree->store, body);
	node->body = body;
	node->kind = kind;
	node->put_ms = now->boot_ms;
	node->put_connection = now->connection;
	node->changed = now->wall;
	node->generation = tree->generation;
	return 0;
}

/* Removes the files below for which `keep_generation` does not hold. */
static void sweep(struct sasm_tree *tree, struct sasm_node *directory,
		  const uint32_t *keep_generation, const struct sasm_when *now)
{
	struct sasm_node *node = LIST_FIRST(&directory->children), *next;

	for (; node; node = next) {
		next = LIST_NEXT(node, sibling);
		/* Depth is bounded by SASM_DEPTH_MAX, and so is this recursion. */
		if (node->kind == SASM_DIRECTORY)
			sweep(tree, node, keep_generation, now);
		if (node->is_fixed || !LIST_EMPTY(&node->children))
			continue;
		if (node->kind == SASM_DIRECTORY || !keep_generation ||
		    node->generation != *keep_generation)
			sasm_node_detach(tree, node, now);
	}
}

int sasm_tree_remove(struct sasm_tree *tree, const char *name, const struct sasm_when *now)
{
	char component[SASM_NAME_BYTES_MAX + 1];
	struct sasm_node *node = tree->root, *parent;

	if (!sasm_name_is_valid(name))
		return -EINVAL;
	while (name && node) {
		name = next_component(name, component);
		node = sasm_tree_child(tree, node, component);
	}
	if (!node)
		return 0;
	sweep(tree, node, NULL, now);
	if (node->is_fixed)
		return 0;
	parent = node->parent;
	sasm_node_detach(tree, node, now);
	sasm_node_prune(tree, parent, now);
	return 0;
}

void sasm_tree_begin_sync(struct sasm_tree *tree)
{
	tree->generation++;
	tree->is_syncing = true;
}

int sasm_tree_end_sync(struct sasm_tree *tree, const struct sasm_when *now)
{
	if (!tree->is_syncing)
		return -EINVAL;
	tree->is_syncing = false;
	sweep(tree, tree->root, &tree->generation, now);
	return 0;
}
