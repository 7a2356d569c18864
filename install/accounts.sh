#!/bin/bash
# Makes the group of operators, the programs' own users and the folders, from systemd's two lists
# (systemd/sysusers.d, systemd/tmpfiles.d), which systemd reads itself at each boot where it runs.
# Here they are read with a few lines of shell, so that a host without systemd gets the same.
source "$(dirname "$0")/layout.sh"

make_accounts() {
  local type name
  while read -r type name _; do
    case $type in
      g) getent group "$name" >/dev/null || groupadd --system "$name" ;;
      u) getent passwd "$name" >/dev/null || useradd --system --user-group --no-create-home \
        --home-dir /nonexistent --shell /usr/sbin/nologin "$name" ;;
    esac
  done < <(sed 's/#.*//' systemd/sysusers.d/asm.conf)
}

# Changes nothing about a folder that is as the list says, not even its times.
make_folders() {
  local type path mode user group
  while read -r type path mode user group _; do
    [ "$type" = d ] || continue
    [ "$(stat -c '%a %U %G' "$path" 2>/dev/null)" = "${mode#0} $user $group" ] ||
      install -d -m "$mode" -o "$user" -g "$group" "$path"
  done < <(sed 's/#.*//' systemd/tmpfiles.d/asm.conf)
}

remove_accounts() {
  local type name
  while read -r type name _; do
    case $type in
      u) ! getent passwd "$name" >/dev/null || userdel "$name" ;;
    esac
  done < <(sed 's/#.*//' systemd/sysusers.d/asm.conf)
  while read -r type name _; do
    ! getent group "$name" >/dev/null || groupdel "$name"
  done < <(sed 's/#.*//' systemd/sysusers.d/asm.conf | awk '$1 == "g" || $1 == "u"')
}

case ${1:-make} in
  make) make_accounts && make_folders ;;
  remove) remove_accounts ;;
  *) die "make or remove?" ;;
esac
