#!/bin/bash
# Builds the wheel and installs it, with what it needs, into /opt/asm. Unchanged sources: nothing.
#
# /opt/asm is a venv without pip and setuptools: it holds what runs. The tools that build are in
# build/tools, with the pins of pyproject.toml.
source "$(dirname "$0")/layout.sh"

python=/usr/bin/python3
tools=$tree/build/tools
log=$tree/build/wheel.log

make_tools() {
  local wanted
  wanted=$(cat pyproject.toml install/constraints.txt | sha256sum)
  [ "$(cat "$tools/stamp" 2>/dev/null)" != "$wanted" ] || return 0
  [ -x "$tools/bin/pip" ] || "$python" -m venv "$tools"
  "$python" install/requirements.py build manual >"$tools/requirements.txt"
  "$tools/bin/pip" install -qq --disable-pip-version-check -r "$tools/requirements.txt" -c install/constraints.txt
  "$tools/bin/pip" install -qq --disable-pip-version-check wheel -c install/constraints.txt
  echo "$wanted" >"$tools/stamp"
}

# Builds ours and fetches the others' wheels; the folder then serves installs without a network.
build() {
  local wheels=$1
  # build/lib* too: setuptools would ship modules from there that the tree no longer has.
  rm -rf build/wheels build/lib* build/bdist* ./*.egg-info
  mkdir -p "$wheels"
  PATH="$tools/bin:$PATH" "$tools/bin/pip" wheel -q --disable-pip-version-check --no-build-isolation \
    -c install/constraints.txt -w "$wheels" ".[plot]" >"$log" 2>&1 || {
    grep -E '[0-9]: error:|: \*\*\* |ERROR: ' "$log" | head -5 >&2
    die "unable to build the wheel: see $log"
  }
}

# libasm with its headers, where PKG_CONFIG_PATH=/opt/asm/lib/pkgconfig finds it.
link_libasm() {
  local devel=$1 file
  mkdir -p "$prefix/include" "$prefix/lib/pkgconfig"
  for file in include/asm.h include/asm_calls.h lib/libasm.a lib/libasm.so.0 lib/pkgconfig/libasm.pc; do
    ln -sfn "$devel/$file" "$prefix/$file"
  done
  ln -sfn libasm.so.0 "$prefix/lib/libasm.so" # a wheel holds no links, only copies
}

install_wheel() {
  local wheels=$1 site
  [ -x "$prefix/bin/python3" ] || "$python" -m venv --without-pip "$prefix"
  "$tools/bin/pip" --python "$prefix/bin/python3" install -q --disable-pip-version-check --no-index \
    --find-links "$wheels" --force-reinstall --no-deps "$wheels"/*.whl >>"$log" 2>&1 ||
    die "unable to install the wheel: see $log"
  site=$("$prefix/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  ln -sfn "$site/supervisord_asm/libexec" "$prefix/libexec"
  link_libasm "$site/supervisord_asm/devel"
  rm -f "$site/bcc" # a link of older installations (docs/decisions/0041)
}

main() {
  local wanted wheels
  wanted=$("$python" install/fingerprint.py)
  [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
  wheels=$tree/build/wheels/${wanted:0:16}
  mkdir -p build
  make_tools
  if ! compgen -G "$wheels/supervisord_asm-*.whl" >/dev/null; then
    say "building the wheel"
    build "$wheels"
  fi
  say "installing into $prefix"
  install_wheel "$wheels"
  for command in "${commands[@]}"; do ln -sfn "$prefix/bin/$command" "$links/$command"; done
  if [ -d docs/man ]; then "$tools/bin/python" install/manual.py "$manual" >"$prefix/manual.list"; fi
  # Last, so that whatever failed above is done again by the next run.
  echo "$wanted" >"$stamp"
}

main
