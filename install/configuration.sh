#!/bin/bash
# Copies config/ to /etc/asm if there is none. An existing /etc/asm is never touched: what an
# operator changed or deleted stays so. The current examples always lie in /opt/asm/share/config.
source "$(dirname "$0")/layout.sh"

examples=$prefix/share/config
if ! diff -rq config "$examples" >/dev/null 2>&1; then
  rm -rf "$examples"
  mkdir -p "$prefix/share"
  cp -R config "$examples"
  chown -R root:root "$examples"
  chmod -R u=rwX,go=rX "$examples"
fi
# The sample agents' programs are ours, not the operator's: the agents.d files name them here.
fleet=$prefix/share/fleet
if ! diff -rq config/fleet "$fleet" >/dev/null 2>&1; then
  rm -rf "$fleet"
  cp -R config/fleet "$fleet"
  chown -R root:root "$fleet"
  chmod -R u=rwX,go=rX "$fleet"
fi
[ ! -e "$config" ] || exit 0
say "copying the sample configuration to $config"
cp -R "$examples" "$config.new"
rm -rf "$config.new/fleet" "$config.new/examples"
mv "$config.new" "$config"
