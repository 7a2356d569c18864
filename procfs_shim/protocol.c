// SPDX-License-Identifier: Apache-2.0
/*
 * Parsing frames. What the header says is checked before anything is
 * allocated for it; a machine with little memory refuses, it does not die.
 */
#include "protocol.h"

#include <errno.h>
#include <string.h>

/* Bounds per verb: which parts a frame must, may or must not have. */
static const struct {
	bool has_name;
	uint32_t body_bytes_min;
	uint32_t body_bytes_max;
} shapes[SASM_VERB_NUM] = {
	[SASM_PUT_TEXT] = { true, 0, SASM_BODY_BYTES_MAX },
	[SASM_PUT_JSON] = { true, 1, SASM_BODY_BYTES_MAX },
	[SASM_REMOVE] = { true, 0, 0 },
	[SASM_TICK] = { false, 0, 0 },
	[SASM_BEGIN_SYNC] = { false, 0, 0 },
	[SASM_END_SYNC] = { false, 0, 0 },
	[SASM_EVENT] = { false, 1, SASM_LINE_BYTES_MAX },
	[SASM_PUT_LINK] = { true, 1, SASM_NAME_BYTES_MAX },
};

static bool is_header_valid(const struct sasm_frame_header *header)
{
	if (!header->verb || header->verb >= SASM_VERB_NUM || header->reserved)
		return false;
	if (shapes[header->verb].has_name != !!header->name_length ||
	    header->name_length > SASM_NAME_BYTES_MAX)
		return false;
	return header->body_length >= shapes[header->verb].body_bytes_min &&
	       header->body_length <= shapes[header->verb].body_bytes_max;
}

/* Fills one part up to its end; true when it is whole. */
static bool fill(char *part, uint32_t start, uint32_t length, struct sasm_parser *parser,
		 const char **data, size_t *bytes)
{
	uint32_t missing = start + length - parser->have;
	size_t n = *bytes < missing ? *bytes : missing;

	if (n)
		memcpy(part + (parser->have - start), *data, n);
	*data += n;
	*bytes -= n;
	parser->have += (uint32_t)n;
	return n == missing;
}

int sasm_parser_feed(struct sasm_parser *parser, const char *data, size_t bytes, size_t *ret_used)
{
	const char *start = data;
	const uint32_t header_bytes = sizeof(parser->header_bytes);
	uint32_t name_end;
	int whole = 0;

	*ret_used = bytes;
	if (parser->have < header_bytes) {
		if (!fill(parser->header_bytes, 0, header_bytes, parser, &data, &bytes))
			return 0;
		if (!is_header_valid(&parser->header))
			return -EBADMSG;
		parser->body = sasm_body_new(parser->header.body_length);
		if (!parser->body)
			return -ENOMEM;
	}
	name_end = header_bytes + parser->header.name_length;
	if (parser->have < name_end &&
	    !fill(parser->name, header_bytes, parser->header.name_length, parser, &data, &bytes))
		return 0;
	if (fill(parser->body->data, name_end, parser->header.body_length, parser, &data, &bytes)) {
		parser->name[parser->header.name_length] = '\0';
		/* A NUL inside would make two names of one. */
		whole = strlen(parser->name) == parser->header.name_length ? 1 : -EBADMSG;
	}
	*ret_used = (size_t)(data - start);
	return whole;
}

void sasm_parser_next(struct sasm_parser *parser, struct sasm_store *store)
{
	sasm_body_release(store, parser->body);
	parser->body = NULL;
	parser->have = 0;
}
