#!/bin/bash
# The developer's environment: .venv from Debian's own interpreter, with the pinned tools.
#
# Not --system-site-packages: what apt happens to have installed would then decide what tests see.
# Debian's BCC is run by Debian's interpreter, not imported here (docs/decisions/0041).
set -euo pipefail
cd "$(dirname "$0")/.."

python=/usr/bin/python3
venv=.venv
stamp=$venv/requirements.sha256

install/packages.sh build run test
wanted=$(cat pyproject.toml install/constraints.txt install/develop.sh | sha256sum)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  "$python" install/requirements.py run plot dev >"$venv/requirements.txt"
  "$venv/bin/pip" install -qq --disable-pip-version-check --no-warn-script-location \
    -r "$venv/requirements.txt" -c install/constraints.txt
  # The tree itself, so that `python -m supervisord_asm...` and the tests' subprocesses find it from
  # any working directory. Only here: an installation is never editable.
  echo "$PWD" >"$(echo "$venv"/lib/python3*/site-packages)/supervisord_asm_tree.pth"
  echo "$wanted" >"$stamp"
fi
