#!/bin/sh
# asm-enter [--cgroup BASE] PROGRAM [ARGUMENT...]: run asm-keeper in the cgroup BASE/system/keeper.
#
# BASE is relative to the cgroup2 root. Without it, it is the cgroup that we were started in, which
# is how systemd's delegated unit is used: a group with children may hold no process itself
# (cgroup-v2.rst, "No Internal Process Constraint"), so the keeper steps down into one of its own.
# The keeper itself knows no path of cgroupfs. (systemd 254 has DelegateSubgroup= for this.)
set -eu

root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
if [ "$1" = --cgroup ]; then
  base=$2
  shift 2
else
  base=$(sed -n 's|^0::/||p' /proc/self/cgroup)
fi
own=$root/$base/system/keeper
mkdir -p "$own"
echo $$ >"$own/cgroup.procs"
exec "$@"
