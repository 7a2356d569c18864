#!/bin/bash
# make up: from a fresh Debian 12 to a running, visible fleet. Run again, it changes nothing and
# shows the same.
source "$(dirname "$0")/layout.sh"

require_root up
lock_installation
[ -e /etc/debian_version ] || die "this is not Debian; the steps are the lines of $0"
install/packages.sh build run
if [ ! -s /sys/kernel/btf/vmlinux ]; then
  install/packages.sh bcc || say "this kernel has no BTF, and BCC is not to be had: cgroup files only; see asmctl doctor"
fi
install/mounts.sh

before=$(cat "$stamp" 2>/dev/null || true)
install/wheel.sh
install/accounts.sh make
install/configuration.sh
"$prefix/bin/asmctl" check-config "$config" >/dev/null || die "nothing starts from a bad configuration"

if ! is_running; then
  say "starting"
  install/service.sh start
elif [ "$before" != "$(cat "$stamp")" ]; then
  say "restarting asmd with the new version; the agents stay"
  install/service.sh restart-asmd
fi
"$prefix/bin/asmctl" wait-ready --within 30s || die "asmd is not ready: see $logs/asmd.log and $logs/keeper.log"

asmstatus
asmlist
cat <<EOT

Look next:
  asminfo 100                 one agent, with its limits and last exit
  asmctl logs -f 100          what it prints;  asmctl --help lists the verbs
  asmctl doctor               where each figure comes from on this kernel, and what is off
  cat $fuse/status      the same figures as files
  $config/agents.d           the fleet; after a change: asmctl reload
  make down                   stops everything; keeps $config and $state
EOT
