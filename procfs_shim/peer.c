// SPDX-License-Identifier: Apache-2.0
/*
 * The daemon's side: one connection at a time, the newest wins (a new asmd
 * need not wait until the kernel has cleaned up after the old one). The peer
 * must be root and outside every agent's cgroup. What breaks the protocol
 * closes the connection; the last snapshot stays, marked stale.
 */
#include "procfs.h"

#include "say.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int sasm_peer_listen(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask;
	int fd, r;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	unlink(path);
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4) ? -errno : 0;
	umask(mask);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

void sasm_peer_close(struct sasm_procfs *procfs)
{
	if (procfs->peer < 0)
		return;
	close(procfs->peer);
	procfs->peer = -1;
	sasm_parser_next(&procfs->parser, &procfs->tree.store);
	sasm_freshness_disconnect(&procfs->freshness);
	if (procfs->refused_puts)
		sasm_say("refused %" PRIu64 " files over a bound, ignoring",
			procfs->refused_puts);
	procfs->refused_puts = 0;
}

void sasm_peer_accept(struct sasm_procfs *procfs, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	socklen_t length = sizeof(struct ucred);
	struct ucred peer;

	if (fd < 0)
		return; /* the peer has gone again, or we are short of descriptors */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 || peer.uid != 0 ||
	    sasm_caller_is_agent(&procfs->rules, peer.pid)) {
		close(fd);
		return;
	}
	sasm_peer_close(procfs);
	procfs->peer = fd;
	sasm_freshness_connect(&procfs->freshness, sasm_now().boot_ms);
}

static int put(struct sasm_procfs *procfs, enum sasm_kind kind, const struct sasm_when *now)
{
	struct sasm_parser *parser = &procfs->parser;
	int r = sasm_tree_put(&procfs->tree, parser->name, kind, parser->body, now);

	if (!r)
		parser->body = NULL; /* the tree's now */
	if (r != -ENOSPC)
		return r;
	/* One file too many must not take the others' view away. */
	if (!procfs->refused_puts++)
		sasm_say("unable to show %s: too many files or bytes, ignoring",
			parser->name);
	return 0;
}

static int put_link(struct sasm_procfs *procfs, const struct sasm_when *now)
{
	const struct sasm_body *body = procfs->parser.body;
	char target[SASM_NAME_BYTES_MAX + 1];

	memcpy(target, body->data, body->bytes);
	target[body->bytes] = '\0';
	/* Root follows these links: they never lead out of the tree. */
	if (strlen(target) != body->bytes || !sasm_name_is_valid(target))
		return -EBADMSG;
	return put(procfs, SASM_LINK, now);
}

static int obey(struct sasm_procfs *procfs, const struct sasm_when *now)
{
	const struct sasm_parser *parser = &procfs->parser;

	switch (parser->header.verb) {
	case SASM_PUT_TEXT:
		return put(procfs, SASM_TEXT, now);
	case SASM_PUT_JSON:
		return put(procfs, SASM_JSON, now);
	case SASM_PUT_LINK:
		return put_link(procfs, now);
	case SASM_REMOVE:
		return sasm_tree_remove(&procfs->tree, parser->name, now);
	case SASM_TICK:
		sasm_freshness_tick(&procfs->freshness, now->boot_ms);
		return 0;
	case SASM_BEGIN_SYNC:
		sasm_tree_begin_sync(&procfs->tree);
		return 0;
	case SASM_END_SYNC:
		return sasm_tree_end_sync(&procfs->tree, now);
	case SASM_EVENT:
		return sasm_ring_append(&procfs->ring, parser->body->data, parser->body->bytes,
					procfs->tree.is_syncing);
	default:
		return -EBADMSG;
	}
}

static int obey_all(struct sasm_procfs *procfs, const char *data, size_t bytes)
{
	struct sasm_when now = sasm_now();
	size_t used;
	int r;

	now.connection = procfs->freshness.connection;
	while (bytes) {
		r = sasm_parser_feed(&procfs->parser, data, bytes, &used);
		if (r < 0)
			return r;
		data += used;
		bytes -= used;
		if (!r)
			continue;
		r = obey(procfs, &now);
		sasm_parser_next(&procfs->parser, &procfs->tree.store);
		if (r < 0)
			return r;
	}
	return 0;
}

void sasm_peer_read(struct sasm_procfs *procfs)
{
	static char buffer[SASM_PEER_TURN_BYTES]; /* one thread */
	ssize_t n = recv(procfs->peer, buffer, sizeof(buffer), 0);
	int r = 0;

	if (n > 0)
		r = obey_all(procfs, buffer, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		r = -errno;
	if (r < 0)
		sasm_say("unable to follow the daemon, closing: %s",
			strerror(-r));
	if (r < 0 || !n)
		sasm_peer_close(procfs);
	sasm_stream_wake(procfs);
}
