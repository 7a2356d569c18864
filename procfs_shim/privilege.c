// SPDX-License-Identifier: Apache-2.0
/*
 * Sources: capabilities(7), capset(2), prctl(2). The bounding set first: that
 * needs CAP_SETPCAP, which the rest takes away.
 */
#include "privilege.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int sasm_privilege_find_user(const char *user, struct sasm_identity *ret_identity)
{
	struct passwd *entry;
	unsigned long uid;
	char *end;

	errno = 0;
	uid = strtoul(user, &end, 10);
	if (*user >= '0' && *user <= '9' && !*end && !errno && uid < UINT32_MAX) {
		entry = getpwuid((uid_t)uid);
		ret_identity->uid = (uid_t)uid;
		ret_identity->gid = entry ? entry->pw_gid : (gid_t)uid;
		return 0;
	}
	entry = getpwnam(user);
	if (!entry)
		return -ENOENT;
	ret_identity->uid = entry->pw_uid;
	ret_identity->gid = entry->pw_gid;
	return 0;
}

static int set_capabilities(uint64_t capabilities)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	for (int i = 0; i < 2; i++)
		data[i].effective = data[i].permitted = (uint32_t)(capabilities >> (32 * i));
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static void empty_bounding_set(void)
{
	/* Without CAP_SETPCAP the set is not ours to shrink; NO_NEW_PRIVS makes
	 * it moot then.
	 */
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

/* Capability sets and the promise that no exec brings them back. */
static int confine(uint64_t capabilities)
{
	/* Empty already, unless whoever started us used it. */
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return set_capabilities(capabilities);
}

int sasm_privilege_drop(const struct sasm_identity *identity)
{
	empty_bounding_set();
	if (setgroups(0, NULL) < 0)
		return -errno;
	if (identity && (setresgid(identity->gid, identity->gid, identity->gid) < 0 ||
			 setresuid(identity->uid, identity->uid, identity->uid) < 0))
		return -errno;
	return confine(0);
}

int sasm_privilege_keep_sys_admin(void)
{
	empty_bounding_set();
	return confine(UINT64_C(1) << CAP_SYS_ADMIN);
}
