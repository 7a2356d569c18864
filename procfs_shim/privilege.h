/* SPDX-License-Identifier: Apache-2.0 */
/* Giving power away, for good. */
#pragma once

#include <sys/types.h>

struct sasm_identity {
	uid_t uid;
	gid_t gid;
};

/* A user by name or number. -ENOENT: there is none of that name. */
int sasm_privilege_find_user(const char *user, struct sasm_identity *ret_identity);

/*
 * No supplementary groups, the identity's uid and gid (NULL: root's stay), no
 * capability in any set, no new privileges by exec. 0 or -errno.
 */
int sasm_privilege_drop(const struct sasm_identity *identity);

/* For the unmounter: CAP_SYS_ADMIN alone. 0 or -errno. */
int sasm_privilege_keep_sys_admin(void);
