#!/bin/sh
# headers.sh: prints the folder of kernel headers for BCC. Where the running kernel has none of its
# own, Debian's are unpacked below build/bench and merged, which is enough for tracepoint programs
# (shared/design/KERNEL.md, "BCC"). Nothing on the host changes. Status 1: there are none.
set -u
own=/lib/modules/$(uname -r)/build
if [ -d "$own/include" ]; then
	echo "$own"
	exit 0
fi
bench=$(cd "$(dirname "$0")/.." && pwd)/build/bench
merged=$bench/headers/merged
if [ ! -d "$merged/include" ]; then
	mkdir -p "$bench/headers/packages"
	cd "$bench/headers/packages" || exit 1
	flavour=$(apt-cache depends linux-headers-amd64 | sed -n 's/^ *Depends: \(linux-headers-.*\)/\1/p' | head -1)
	common=$(echo "$flavour" | sed 's/-amd64$/-common/')
	apt-get download -qq "$flavour" "$common" >&2 2>/dev/null || exit 1
	for package in *.deb; do dpkg -x "$package" ..; done
	rm -f -- *.deb
	mkdir -p "$merged.new"
	for part in "$common" "$flavour"; do
		cp -a "../usr/src/$part/." "$merged.new" || exit 1
	done
	mv "$merged.new" "$merged"
fi
echo "$merged"
