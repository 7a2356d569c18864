#!/bin/bash
# Debian packages that building needs, and those that running needs; installed only if missing.
# Nothing of the first list is needed once the wheel is built: libbpf, libelf and zlib are linked in.
#
#   packages.sh [build|run|test|format]...     default: build run
set -euo pipefail

# gcc, make, pkg-config: the C programs and the extension; python3-dev: its headers.
# clang, bpftool: BPF objects and their skeletons. python3-venv: .venv and /opt/asm.
build_packages=(gcc make pkg-config clang bpftool libbpf-dev libelf-dev zlib1g-dev libfuse3-dev
  libc6-dev linux-libc-dev python3-dev python3-venv ca-certificates)
# fuse3: fusermount3 and the fuse group's rules; libfuse3-3: asm-procfs; kmod: loads the fuse module.
run_packages=(python3 fuse3 libfuse3-3 kmod util-linux passwd)
# tmux: the terminal in which the tests run `asmctl top`. g++: asm.h is for C++ programs too.
test_packages=(tmux g++)
# Only where the kernel has no BTF: there BCC compiles the programs that count, with its headers.
bcc_packages=(python3-bpfcc "linux-headers-$(uname -r)")
# C sources are formatted by `make fmt`.
format_packages=(clang-format)

missing_of() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

main() {
  local wanted=() list missing
  [ $# -gt 0 ] || set -- build run
  for list in "$@"; do
    case $list in
      build) wanted+=("${build_packages[@]}") ;;
      run) wanted+=("${run_packages[@]}") ;;
      test) wanted+=("${test_packages[@]}") ;;
      format) wanted+=("${format_packages[@]}") ;;
      *) echo "packages.sh: there is no list '$list' (build, run, test, format)" >&2; return 2 ;;
    esac
  done
  mapfile -t missing < <(missing_of "${wanted[@]}")
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    echo "unable to install ${missing[*]}: this is not Debian (no apt-get)" >&2
    return 1
  fi
  if [ "$(id -u)" != 0 ]; then
    echo "unable to install ${missing[*]}: not root; run: apt-get install ${missing[*]}" >&2
    return 1
  fi
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  local log
  log=$(mktemp)
  # A package list may be stale or absent on a fresh machine; try what is there first.
  apt-get install -y -q --no-install-recommends "${missing[@]}" >"$log" 2>&1 && return 0
  { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 && return 0
  tail -n 20 "$log" >&2
  echo "unable to install ${missing[*]}: see the lines above" >&2
  return 1
}

main "$@"
