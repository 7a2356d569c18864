# Where an installation puts things, and the few words that its scripts share. Sourced, not run.
#
# These are the published paths (supervisord_asm/paths.py holds the same for the running programs).
# A second daemon on the same host is started by hand with another asm.yaml, not by these scripts.
# shellcheck shell=bash disable=SC2034  # the variables are used by those who source this

set -euo pipefail
umask 022
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tree=$PWD

prefix=/opt/asm
stamp=$prefix/installed.sha256
commands=(asmctl asmstatus asmlist asminfo asmd)
links=/usr/local/bin
manual=/usr/local/share/man
units=/etc/systemd/system

config=/etc/asm
state=/var/lib/asm
logs=/var/log/asm
run=/run/asm
fuse=/run/agentsys
bpffs=/sys/fs/bpf/asm
slice=asm.slice

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

say() { echo "asm: $*"; }

require_root() {
  [ "$(id -u)" = 0 ] || die "needs root: it makes users, cgroups and mounts; try: sudo make ${1}"
}

# One script at a time changes the installation. In /run itself: everybody may write /run/lock. Descriptor 9 is closed for what outlives us.
lock_installation() {
  exec 9>/run/asm-install.lock
  flock -w 300 9 || die "another make up, down or purge has been at work for 5 minutes"
}

has_systemd() { [ -d /run/systemd/system ]; }

# The first cgroup2 mount: /sys/fs/cgroup, or /sys/fs/cgroup/unified on a hybrid host.
cgroup2_root() { awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts; }

is_mounted() { awk -v at="$1" '$2 == at { found = 1 } END { exit !found }' /proc/self/mounts; }

# Does a daemon of ours answer? Quick either way.
is_running() {
  [ -S "$run/control.sock" ] && "$prefix/bin/asmctl" status --timeout 2s >/dev/null 2>&1
}
