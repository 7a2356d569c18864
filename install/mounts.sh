#!/bin/bash
# Sees to the kernel file systems that we need. cgroup2 must be there: where to mount it is the
# host's decision. bpffs, tracefs and securityfs are mounted where missing; that is harmless,
# and they stay after `make down`, since others may have begun to use them.
source "$(dirname "$0")/layout.sh"

[ -n "$(cgroup2_root)" ] ||
  die "no cgroup2 is mounted; try: mount -t cgroup2 none /sys/fs/cgroup/unified (Linux 6.1 or newer)"
is_mounted /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf || die "unable to mount bpffs at /sys/fs/bpf"
# These two only sharpen what doctor and the fallback tracepoints see.
is_mounted /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null || true
is_mounted /sys/kernel/security || mount -t securityfs securityfs /sys/kernel/security 2>/dev/null || true
[ -e /dev/fuse ] || modprobe fuse || die "there is no /dev/fuse and no fuse module"
