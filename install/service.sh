#!/bin/bash
# Starts and stops the programs: `service.sh start|stop|restart-asmd`.
#
# With systemd as PID 1 they are plain units. Without, asm-keeper runs on its own and starts asmd,
# again and again. Either way everything of ours is in one cgroup, so that stopping can be sure.
source "$(dirname "$0")/layout.sh"

keeper=("$prefix/libexec/asm-keeper" --exec "$prefix/libexec/asm-exec" --listen "$run/keeper.sock")

install_units() {
  local unit changed=
  for unit in asm.slice asm-keeper.service asmd.service; do
    cmp -s "systemd/$unit" "$units/$unit" || { cp "systemd/$unit" "$units/$unit" && changed=yes; }
  done
  mkdir -p /etc/sysusers.d /etc/tmpfiles.d
  cp -u systemd/sysusers.d/asm.conf /etc/sysusers.d/asm.conf
  cp -u systemd/tmpfiles.d/asm.conf /etc/tmpfiles.d/asm.conf
  [ -z "$changed" ] || systemctl daemon-reload
}

start() {
  if has_systemd; then
    install_units
    systemctl enable --quiet --now asm-keeper.service asmd.service
    return
  fi
  # A shutdown that kept the agents left their keeper: it starts asmd again.
  local kept
  kept=$(cat "$(cgroup2_root)/$slice/system/keeper/cgroup.procs" 2>/dev/null || true)
  if [ -n "$kept" ]; then
    kill -s USR1 "$kept"
    return
  fi
  # A session of its own, no terminal, no descriptor of ours: it outlives this script and its lock.
  setsid -f "$prefix/libexec/asm-enter" --cgroup "$slice" "${keeper[@]}" \
    --asmd "$prefix/bin/asmd" --config "$config/asm.yaml" \
    </dev/null >>"$logs/keeper.log" 2>&1 9>&-
}

# A newer asmd takes over; the agents do not notice. The keeper (or systemd) starts it again.
restart_asmd() {
  if has_systemd; then
    install_units
    systemctl restart asmd.service
  else
    end_asmd USR2
  fi
}

# Only a process that is ours: the pid file may be old and its number somebody else's by now.
end_asmd() {
  local pid
  pid=$(cat "$run/asmd.pid" 2>/dev/null) || return 0
  case $({ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null) in
    "$prefix/bin/python"*asmd*| "$prefix/bin/python"*supervisord_asm.daemon*) kill -s "$1" "$pid" 2>/dev/null || true ;;
  esac
}

# All of ours, at once and for good; the kernel does it without a race (cgroup.kill, Linux 5.14).
kill_cgroup() {
  local group=$1 tries=100
  # It may go by itself at any moment: the last program of ours takes it along.
  { echo 1 >"$group/cgroup.kill"; } 2>/dev/null || [ ! -d "$group" ] || die "unable to kill $group"
  while grep -qs '^populated 1' "$group/cgroup.events" && [ $((tries -= 1)) -gt 0 ]; do sleep 0.05; done
  find "$group" -depth -mindepth 1 -type d -exec rmdir {} + 2>/dev/null || true
  rmdir "$group" 2>/dev/null || [ ! -d "$group" ] || die "unable to empty $group: $(cat "$group"/cgroup.procs | wc -l) processes stay"
}

stop() {
  local root
  root=$(cgroup2_root)
  if is_running; then
    timeout 60 "$prefix/bin/asmctl" shutdown || say "asmd did not stop its agents in order"
  fi
  if has_systemd && [ -e "$units/asmd.service" ]; then
    systemctl disable --quiet --now asmd.service asm-keeper.service
    systemctl stop asm.slice 2>/dev/null || true
  fi
  # What did not end in order ends here. Under systemd asmd's own group is gone with its unit.
  kill_cgroup "$root/$slice"
  end_asmd KILL
  ! is_mounted "$fuse" || umount "$fuse" 2>/dev/null || umount -l "$fuse"
  rm -rf "$run" "$bpffs"
  rmdir "$fuse" 2>/dev/null || true
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  restart-asmd) restart_asmd ;;
  *) die "start, stop or restart-asmd?" ;;
esac
