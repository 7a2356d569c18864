#!/bin/bash
# make purge: make down, then removes everything that make up made, also the configuration, the
# journal, the agents' state and the logs. Debian packages stay: others may use them.
source "$(dirname "$0")/layout.sh"

require_root purge
lock_installation
install/service.sh stop

# Only links of ours: somebody may have put a command of the same name there.
for command in "${commands[@]}"; do
  case $(readlink "$links/$command" 2>/dev/null) in
    "$prefix"/*) rm -f "$links/$command" ;;
  esac
done
if [ -e "$prefix/manual.list" ]; then xargs -r -d '\n' rm -f <"$prefix/manual.list"; fi
rm -f "$units"/{asm.slice,asm-keeper.service,asmd.service} /etc/sysusers.d/asm.conf /etc/tmpfiles.d/asm.conf
! has_systemd || systemctl daemon-reload
rm -rf "$prefix" "$config" "$state" "$logs"
install/accounts.sh remove
say "everything of ours is gone"
