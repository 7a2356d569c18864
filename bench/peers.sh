#!/bin/sh
# Puts the supervisors that we are measured against below build/bench: runit and s6 unpacked from
# their packages (installing runit would want to start services), supervisord into a venv, and
# redis, a workload. Nothing on the host changes. Each is optional: what cannot be had is left out, and the bench says so.
set -u
bench=$(cd "$(dirname "$0")/.." && pwd)/build/bench
mkdir -p "$bench/peers/packages"
cd "$bench/peers/packages" || exit 1

fetch() {
	name=$1 && shift
	# shellcheck disable=SC2068  # names of packages
	if apt-get download -qq $@ 2>/dev/null; then
		for package in *.deb; do dpkg -x "$package" ..; done
	else
		echo "peers.sh: $name cannot be had from apt" >&2
	fi
	rm -f -- *.deb
}

[ -x ../usr/bin/runsvdir ] || fetch runit runit
[ -x ../usr/bin/s6-svscan ] || fetch s6 s6 execline libs6-2.11 libskarnet2.13 libexecline2.9
[ -x ../usr/bin/redis-benchmark ] || fetch redis redis-server redis-tools libhiredis0.14 libjemalloc2 \
	liblua5.1-0 liblzf1 lua-bitop lua-cjson libatomic1
if [ ! -x "$bench/venv/bin/supervisord" ]; then
	python3 -m venv "$bench/venv" && "$bench/venv/bin/pip" install -q supervisor setuptools ||
		echo "peers.sh: supervisord cannot be had" >&2
fi
exit 0
