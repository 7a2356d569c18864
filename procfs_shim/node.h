/* SPDX-License-Identifier: Apache-2.0 */
/* Single nodes, for tree.c alone: make, hash, detach, free. */
#pragma once

#include "tree.h"

/* A node below `parent`, hashed and listed. NULL without memory. */
struct sasm_node *sasm_node_new(struct sasm_tree *tree, struct sasm_node *parent, const char *name,
				enum sasm_kind kind, const struct sasm_when *now);

/*
 * No path leads to it any more; freed, unless it is open. A directory must be
 * empty.
 */
void sasm_node_detach(struct sasm_tree *tree, struct sasm_node *node, const struct sasm_when *now);

/* Detaches this directory and those above it that nothing is left in. */
void sasm_node_prune(struct sasm_tree *tree, struct sasm_node *directory,
		     const struct sasm_when *now);
