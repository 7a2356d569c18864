// SPDX-License-Identifier: Apache-2.0
/*
 * The capability sets, set as a whole (capabilities(7)). An agent that runs as root keeps root's
 * files but none of root's powers unless its spec names them.
 */
#define _GNU_SOURCE
#include "capabilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A 64-bit mask is what version 3 of the interface holds; CAP_LAST_CAP of 6.18 is 40. */
#define CAPABILITY_BITS 64

int sasm_drop_bounding_set(uint64_t kept)
{
	for (unsigned int bit = 0; bit < CAPABILITY_BITS; bit++) {
		if (kept >> bit & 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, bit, 0, 0, 0)) {
			if (errno == EINVAL)
				return 0; /* past the last capability that this kernel knows */
			return -1;
		}
	}
	return 0;
}

int sasm_set_capabilities(uint64_t kept)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	/* What a container took from us nobody can keep; asking for it would be refused as a whole. */
	if (syscall(SYS_capget, &header, data))
		return -1;
	kept &= data[0].permitted | (uint64_t)data[1].permitted << 32;
	for (int half = 0; half < 2; half++) {
		const uint32_t bits = (uint32_t)(kept >> 32 * half);

		data[half] = (struct __user_cap_data_struct){ bits, bits, bits };
	}
	if (syscall(SYS_capset, &header, data))
		return -1;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return -1;
	for (unsigned int bit = 0; bit < CAPABILITY_BITS; bit++) {
		if (!(kept >> bit & 1) || !prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0))
			continue;
		return errno == EINVAL ? 0 : -1; /* past the last one, as above */
	}
	return 0;
}
