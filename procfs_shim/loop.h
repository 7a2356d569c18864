/* SPDX-License-Identifier: Apache-2.0 */
/* The one poll loop. */
#pragma once

#include "procfs.h"

struct sasm_loop {
	struct sasm_procfs *procfs;
	struct fuse_session *session;
	int listener;
	int signals; /* signalfd */
	int unmounter;
};

/*
 * Serves until SIGTERM or SIGINT has led to the unmount (0), or somebody else
 * has unmounted the tree (-ENODEV), or the unmounter fails (-errno).
 */
int sasm_loop_run(struct sasm_loop *loop);
