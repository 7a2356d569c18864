/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's frames, taken apart: bytes in, whole checked frames out. No
 * socket here. The Python side is supervisord_asm/kernel/procfs_channel.py.
 *
 *	u32 body_length, u16 verb, u16 name_length, u64 reserved (0),
 *	name, body					(little-endian)
 */
#pragma once

#include "body.h"
#include "limits.h"

#include <stdint.h>

enum sasm_verb {
	SASM_PUT_TEXT = 1,
	SASM_PUT_JSON, /* an object's text without its final "}" */
	SASM_REMOVE,
	SASM_TICK,
	SASM_BEGIN_SYNC,
	SASM_END_SYNC,
	SASM_EVENT,
	SASM_PUT_LINK, /* body: the target, a name inside the tree */
	SASM_VERB_NUM
};

struct sasm_frame_header {
	uint32_t body_length;
	uint16_t verb;
	uint16_t name_length;
	uint64_t reserved;
};

struct sasm_parser {
	union {
		struct sasm_frame_header header;
		char header_bytes[sizeof(struct sasm_frame_header)];
	};
	uint32_t have; /* of header, name and body, in this order */
	char name[SASM_NAME_BYTES_MAX + 1]; /* NUL-terminated when whole */
	struct sasm_body *body;
};

/*
 * Takes from data what belongs to the frame under way and stores how much in
 * *ret_used. 1: the frame is whole, in header, name and body (whose reference
 * the caller may take by setting it to NULL); sasm_parser_next() then makes
 * room for the next. 0: more is needed. -EBADMSG: not a frame; -ENOMEM.
 */
int sasm_parser_feed(struct sasm_parser *parser, const char *data, size_t bytes, size_t *ret_used);
void sasm_parser_next(struct sasm_parser *parser, struct sasm_store *store);
