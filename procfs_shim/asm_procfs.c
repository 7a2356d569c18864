// SPDX-License-Identifier: Apache-2.0
/*
 * asm-procfs: the tree under /run/agentsys. Shows what asmd sends and asks
 * nobody; a reader never waits for asmd, and asmd never for a reader.
 *
 * As root: take away a stale mount, mount, listen, fork the unmounter. Then
 * give all power away and serve.
 */
#include "loop.h"
#include "memory.h"
#include "mountpoint.h"
#include "options.h"
#include "privilege.h"
#include "say.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *verb, const char *object, int error)
{
	sasm_say("unable to %s %s: %s", verb, object, strerror(-error));
	return error;
}

static gid_t find_operators(const char *group)
{
	const struct group *entry = getgrnam(group);

	if (entry)
		return entry->gr_gid;
	sasm_say("no group %s: only root may read events", group);
	return (gid_t)-1;
}

static int drop_privileges(const char *user)
{
	struct sasm_identity identity;
	int r = sasm_privilege_find_user(user, &identity);

	if (r < 0)
		sasm_say("no user %s: staying uid %d, without capabilities",
			user, (int)getuid());
	r = sasm_privilege_drop(r < 0 ? NULL : &identity);
	return r < 0 ? fail("become", user, r) : 0;
}

static int block_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN); /* the peer's end is read, and stderr may go */
	signal(SIGHUP, SIG_IGN); /* there is nothing to reload */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* libfuse takes a mounted /dev/fuse by this name, and then unmounts nothing. */
static struct fuse_session *new_session(struct sasm_procfs *procfs, int fuse_fd)
{
	char *argv[] = { (char *)"asm-procfs", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	const struct fuse_lowlevel_ops *operations = sasm_fs_operations();
	struct fuse_session *session;
	char name[32];

	session = fuse_session_new(&args, operations, sizeof(*operations), procfs);
	fuse_opt_free_args(&args);
	if (!session)
		return NULL;
	snprintf(name, sizeof(name), "/dev/fd/%d", fuse_fd);
	if (fuse_session_mount(session, name)) {
		fuse_session_destroy(session);
		return NULL;
	}
	return session;
}

/* Everything that needs root. Leaves descriptors in loop. */
static int set_up(const struct sasm_options *options, struct sasm_loop *loop)
{
	bool made = false;
	int fuse_fd, r;

	r = sasm_mountpoint_prepare(options->mount, &made);
	if (r < 0)
		return fail("prepare", options->mount, r);
	fuse_fd = sasm_mountpoint_mount(options->mount);
	if (fuse_fd < 0)
		return fail("mount", options->mount, fuse_fd);
	loop->unmounter = sasm_unmounter_start(options->mount, made, options->listen, fuse_fd);
	if (loop->unmounter < 0)
		return fail("start the unmounter of", options->mount, loop->unmounter);
	loop->session = new_session(loop->procfs, fuse_fd);
	if (!loop->session)
		return fail("serve", options->mount, -ENOMEM);
	loop->listener = sasm_peer_listen(options->listen);
	if (loop->listener < 0)
		return fail("listen on", options->listen, loop->listener);
	return drop_privileges(options->user);
}

static void clear(struct sasm_procfs *procfs)
{
	struct sasm_handle *handle;

	sasm_peer_close(procfs);
	while ((handle = LIST_FIRST(&procfs->handles.all))) {
		if (handle->node->kind == SASM_STREAM)
			sasm_stream_release(procfs, handle);
		sasm_handle_free(&procfs->handles, &procfs->tree, handle);
	}
	sasm_ring_clear(&procfs->ring);
	sasm_tree_clear(&procfs->tree);
	sasm_memory_clear();
}

int main(int argc, char **argv)
{
	static struct sasm_procfs procfs = { .peer = -1 }; /* half a megabyte */
	struct sasm_loop loop = { .procfs = &procfs };
	struct sasm_options options;
	struct sasm_when now = sasm_now();
	int r = sasm_options_parse(argc, argv, &options);

	if (r)
		return r < 0 ? 2 : 0;
	procfs.rules.agents_cgroup = options.agents_cgroup;
	procfs.rules.operators = find_operators(options.group);
	loop.signals = block_signals();
	r = sasm_memory_init() ? sasm_tree_init(&procfs.tree, &now) : -ENOMEM;
	if (r < 0 || loop.signals < 0) {
		fail("start", "asm-procfs", r < 0 ? r : -errno);
		return 1;
	}
	if (set_up(&options, &loop) < 0) {
		/* What is mounted goes again; the rest ends with the process. */
		if (loop.unmounter > 0)
			sasm_unmounter_ask(loop.unmounter);
		return 1;
	}
	r = sasm_loop_run(&loop);
	if (r < 0)
		fail("go on serving", options.mount, r);
	else
		wait(NULL); /* the unmounter, which has answered and ends */
	clear(&procfs);
	fuse_session_destroy(loop.session);
	return r < 0;
}
