#!/bin/sh
# pipeline_worker: runs a pipeline of six processes every six seconds, over the licences that the
# host has installed, one after the other: which words does each use most? Real forks and execs of
# real programs. SIGTERM ends it with code 0, after the pipeline that runs, if one does.
set -eu

folder=${1:-/usr/share/common-licenses}
pause=${2:-6}

turns=0
sleeper=
stop() {
  [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null || :
  echo "stopping after $turns pipelines"
  exit 0
}
trap stop TERM

echo "counting words of $(find "$folder" -type f | wc -l) files in $folder"
while :; do
  for file in "$folder"/*; do
    [ -f "$file" ] || continue
    words=$(tr -cs '[:alpha:]' '\n' <"$file" | tr '[:upper:]' '[:lower:]' | grep -E '.{5}' |
      sort | uniq -c | sort -rn | sed -n '1,3s/^ *\([0-9]*\) \(.*\)/\2 (\1)/p' | paste -sd, -)
    turns=$((turns + 1))
    echo "${file##*/}: $(wc -w <"$file") words, most often $words"
    # A shell waits for its child before it takes a signal, unless it waits like this.
    sleep "$pause" &
    sleeper=$!
    wait "$sleeper" || :
    sleeper=
  done
done
