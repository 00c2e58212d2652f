#!/usr/bin/env bash
# A real small language model climbs on commands that nobody here wrote: labels asked for → forced → demonstrations → fine-tune.
# Everything happens in the folder that is named; what is there from an earlier run is gone on with, not paid for again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
where=${1:-home}
mkdir -p "$where" && cd "$where"

step() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

[ -f commands.jsonl ] || step python "$here/commands.py" commands.jsonl
step ratchet init .
mkdir -p tasks/home
cp -n "$here/home.yaml" tasks/home.yaml
cp -n "$here/free.yaml" tasks/home/
step ratchet import commands.jsonl --task home
step ratchet climb home --start tasks/home/free.yaml --levers decoding,demos,tune --epochs 2 --yes
step ratchet ab home --a start --b champion
step ratchet ladder home --report report.html
