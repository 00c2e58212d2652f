#!/usr/bin/env bash
# One crank of the wheel, offline: messages → task → measure → two prompts → demonstrations → fine-tune → ladder.
# Everything happens in the folder that is named; what is there from an earlier run is gone on with, not paid for again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
where=${1:-demo}
mkdir -p "$where" && cd "$where"

step() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

[ -f messages.jsonl ] || step python "$here/messages.py" messages.jsonl --count 1500
step ratchet init .
mkdir -p tasks/pii
cp -n "$here/pii.yaml" tasks/pii.yaml
cp -n "$here"/prompts/*.yaml tasks/pii/
step ratchet import messages.jsonl --task pii
step ratchet climb pii --epochs 2
step ratchet ab pii --a start --b champion
step ratchet ladder pii --report report.html
