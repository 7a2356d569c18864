/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which agent does a packet count for, and how much of it did the agent's program send or get?
 *
 * A packet passes a cgroup's programs as the network layer has it: with its IP header, without the
 * link's. The socket tells the agent (a received packet is handled on whatever CPU, above whatever
 * thread), and it belongs to the cgroup in which it was made. What the program sent or got is the
 * packet without the headers; large sends pass before they are cut, with one header for all.
 *
 * TCP sends again what was not acknowledged in time, also over loopback when a CPU is busy. Such
 * bytes are told by their sequence numbers and counted once: a sender's are below its snd_nxt, and
 * a receiver's below the highest that came. (Its rcv_nxt would not do: packets may still wait for
 * the socket's lock.) A gap counts when what lies behind it comes, and not when it is filled.
 */
#pragma once

#include "running_slot.bpf.h"

/* As it stands in a packet on x86, low byte first. */
#define ETHERTYPE_IPV4 0x0008

#define PROTOCOL_HOP_OPTIONS 0
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ROUTING 43
#define PROTOCOL_FRAGMENT 44
#define PROTOCOL_DESTINATION_OPTIONS 60

#define IPV6_HEADER_BYTES 40
#define UDP_HEADER_BYTES 8

/* A chain of more extension headers than this is no honest packet; its rest counts whole. */
#define EXTENSION_HEADERS_MAX 6

struct headers {
	uint32_t bytes;		/* so far */
	uint32_t sequence;	/* of TCP's first byte */
	uint8_t protocol;	/* of what follows */
};

/* The part of a TCP header that is read, from its 5th byte on. */
struct tcp_part {
	uint32_t sequence;
	uint32_t acknowledged;
	uint8_t length;		/* in its upper half, 4 bytes each */
	uint8_t flags;
} __attribute__((packed));

#define TCP_SYN 0x02

static __always_inline bool read_ipv4(struct __sk_buff *packet, struct headers *headers)
{
	uint8_t length, protocol;

	if (bpf_skb_load_bytes(packet, 0, &length, 1) || bpf_skb_load_bytes(packet, 9, &protocol, 1))
		return false;
	headers->bytes = (length & 0xf) * 4; /* options included */
	headers->protocol = protocol;
	return true;
}

static __always_inline bool is_extension(uint8_t protocol)
{
	return protocol == PROTOCOL_HOP_OPTIONS || protocol == PROTOCOL_ROUTING ||
	       protocol == PROTOCOL_FRAGMENT || protocol == PROTOCOL_DESTINATION_OPTIONS;
}

static __always_inline bool read_ipv6(struct __sk_buff *packet, struct headers *headers)
{
	uint8_t next;

	if (bpf_skb_load_bytes(packet, 6, &next, 1))
		return false;
	headers->bytes = IPV6_HEADER_BYTES;
	headers->protocol = next;
	for (int i = 0; i < EXTENSION_HEADERS_MAX && is_extension(headers->protocol); i++) {
		uint8_t extension[2]; /* what follows, and how many 8 bytes after the first 8 */

		if (bpf_skb_load_bytes(packet, headers->bytes, extension, 2))
			return false;
		headers->bytes += headers->protocol == PROTOCOL_FRAGMENT ? 8 : 8 + extension[1] * 8;
		headers->protocol = extension[0];
	}
	return true;
}

static __always_inline bool read_transport(struct __sk_buff *packet, struct headers *headers)
{
	struct tcp_part part;

	if (headers->protocol == PROTOCOL_UDP)
		headers->bytes += UDP_HEADER_BYTES;
	if (headers->protocol != PROTOCOL_TCP)
		return true;
	if (bpf_skb_load_bytes(packet, headers->bytes + 4, &part, sizeof(part)))
		return false;
	headers->bytes += (part.length >> 4) * 4;
	headers->sequence = __builtin_bswap32(part.sequence);
	if (part.flags & TCP_SYN)
		headers->sequence++; /* it takes a number, and the data the next ones */
	return true;
}

static __always_inline bool read_headers(struct __sk_buff *packet, struct headers *headers)
{
	bool is_read = packet->protocol == ETHERTYPE_IPV4 ? read_ipv4(packet, headers)
							   : read_ipv6(packet, headers);

	return is_read && read_transport(packet, headers) && headers->bytes <= packet->len;
}

/* Returns how many of the bytes are sent for the first time; the socket is locked by its sender. */
static __always_inline uint64_t first_sent(struct __sk_buff *packet, uint32_t sequence,
					   uint32_t bytes)
{
	struct bpf_sock *socket = packet->sk;
	struct bpf_tcp_sock *tcp = socket ? bpf_tcp_sock(socket) : NULL;
	int32_t fresh;

	if (!tcp)
		return bytes;
	fresh = (int32_t)(sequence + bytes - tcp->snd_nxt);
	if (fresh <= 0)
		return 0;
	return (uint32_t)fresh < bytes ? (uint32_t)fresh : bytes;
}

/* Packets of one socket at the same moment on several CPUs; more tries than that are never needed. */
#define RECEIVE_TRIES 4

/*
 * Returns how many bytes the packet brings the socket nearer to its end. Not locked. A listening
 * socket stands for all the connections that begin at it, and knows none of their numbers.
 */
static __always_inline uint64_t first_received(struct __sk_buff *packet, uint32_t sequence,
					       uint32_t bytes)
{
	struct bpf_sock *socket = packet->sk;
	struct bpf_tcp_sock *tcp = socket ? bpf_tcp_sock(socket) : NULL;
	uint32_t end = sequence + bytes;
	uint64_t *counted;

	if (!tcp || !(socket = bpf_sk_fullsock(socket)) || is_listening(socket))
		return bytes;
	counted = make_received(packet, socket, tcp->rcv_nxt);
	if (!counted) {
		__sync_fetch_and_add(&state.drops[SASM_DROP_SOCKET], 1);
		return bytes;
	}
	for (int i = 0; i < RECEIVE_TRIES; i++) {
		uint64_t before = *(volatile uint64_t *)counted;
		int32_t fresh = (int32_t)(end - (uint32_t)before);

		if (fresh <= 0)
			return 0;
		if (__sync_val_compare_and_swap(counted, before, (uint64_t)end) == before)
			return (uint32_t)fresh;
	}
	return bytes;
}

/*
 * Returns the row of the socket's agent on this CPU, and the bytes to add to it; NULL: no agent's,
 * or nothing to add.
 */
static __always_inline struct sasm_row *packet_row(struct __sk_buff *packet, bool is_received,
						   uint64_t *ret_bytes)
{
	uint64_t id = bpf_skb_ancestor_cgroup_id(packet, (int)root_level + 1);
	uint64_t *tag = bpf_map_lookup_elem(&tags, &id);
	struct headers headers = {};
	uint64_t bytes;

	if (!tag)
		return NULL;
	if (!read_headers(packet, &headers)) {
		__sync_fetch_and_add(&state.drops[SASM_DROP_PACKET], 1);
		return NULL;
	}
	bytes = packet->len - headers.bytes;
	if (bytes && headers.protocol == PROTOCOL_TCP)
		bytes = is_received ? first_received(packet, headers.sequence, bytes)
				    : first_sent(packet, headers.sequence, bytes);
	*ret_bytes = bytes;
	return bytes ? find_row(*tag, bpf_get_smp_processor_id()) : NULL;
}
