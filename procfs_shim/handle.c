// SPDX-License-Identifier: Apache-2.0
/* Handles and the count per uid; see handle.h. */
#include "handle.h"

#include "memory.h"

#include <errno.h>
#include <stdlib.h>

static struct sasm_holder *find_holder(struct sasm_handles *handles, uid_t uid)
{
	struct sasm_holder *holder;

	LIST_FOREACH(holder, &handles->holders[uid % SASM_HOLDER_BUCKETS], bucket)
		if (holder->uid == uid)
			return holder;
	return NULL;
}

static int count_up(struct sasm_handles *handles, uid_t uid)
{
	struct sasm_holder *holder = find_holder(handles, uid);

	if (!holder) {
		holder = sasm_allocate_zeroed(sizeof(*holder));
		if (!holder)
			return -ENOMEM;
		holder->uid = uid;
		LIST_INSERT_HEAD(&handles->holders[uid % SASM_HOLDER_BUCKETS], holder, bucket);
	}
	/* Root is bounded by its own limits: it could stop us as well. */
	if (uid != 0 && holder->handle_count >= SASM_HANDLES_PER_UID_MAX)
		return -EMFILE;
	holder->handle_count++;
	return 0;
}

static void count_down(struct sasm_handles *handles, uid_t uid)
{
	struct sasm_holder *holder = find_holder(handles, uid);

	if (--holder->handle_count)
		return;
	LIST_REMOVE(holder, bucket);
	free(holder);
}

int sasm_handle_new(struct sasm_handles *handles, struct sasm_node *node, uid_t uid,
		    struct sasm_handle **ret_handle)
{
	struct sasm_handle *handle;
	int r = count_up(handles, uid);

	if (r < 0)
		return r;
	handle = sasm_allocate_zeroed(sizeof(*handle));
	if (!handle) {
		count_down(handles, uid);
		return -ENOMEM;
	}
	handle->node = node;
	handle->uid = uid;
	TAILQ_INIT(&handle->parked);
	sasm_node_open(node);
	LIST_INSERT_HEAD(&handles->all, handle, all);
	*ret_handle = handle;
	return 0;
}

void sasm_handle_free(struct sasm_handles *handles, struct sasm_tree *tree,
		      struct sasm_handle *handle)
{
	LIST_REMOVE(handle, all);
	count_down(handles, handle->uid);
	sasm_cursor_clear(&handle->cursor);
	sasm_body_release(&tree->store, handle->body);
	sasm_node_close(tree, handle->node);
	free(handle);
}
