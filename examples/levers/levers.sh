#!/usr/bin/env bash
# Each lever on a task that it helps, offline: one verdict a lever, in a few minutes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
where=${1:-levers}
mkdir -p "$where" && cd "$where"

step() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

[ -f handbook.jsonl ] || step python "$here/make.py" .
step ratchet init .
for task in staff form words records; do
  step ratchet import "$task.jsonl" --task "$task"
done
step ratchet knowledge add handbook.jsonl --name handbook
step ratchet climb staff --levers retrieval --knowledge handbook --embedding ''
step ratchet climb form --levers demos --nearest ''
step ratchet climb words --levers prompt
step ratchet climb records --levers decoding --start tasks/records/free.yaml
step ratchet climb words --levers tune --weights full --epochs 3 --yes
mkdir -p tasks && sed 's/^name: words/name: other/' tasks/words.yaml > tasks/other.yaml
step ratchet import words.jsonl --task other
step ratchet climb other --levers model --models "$(ratchet show champion --task words --json | python -c 'import json, sys; print(json.load(sys.stdin)["candidate"]["model"])')"
