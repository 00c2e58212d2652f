#!/usr/bin/env bash
# Make one environment a peer, each with its own resolution, in a folder outside the repository:
#   benchmarks/gateway/make_peers.sh FOLDER [PYTHON]
# then: python benchmarks/gateway/run.py --peers FOLDER
# A peer that does not install is left out; run.py says so.
set -euo pipefail
source "$(dirname "$0")/../peers.bash"

make_node_peer() {
  local name=$1
  shift
  if npm install --silent --ignore-scripts --prefix "$folder/$name" "$@"; then
    echo "$name: $*"
  else
    echo "$name: did not install; it needs node and npm" >&2
    rm -rf "${folder:?}/$name"
  fi
}

make_peer fastapi "fastapi==0.165.0" "httpx==0.28.1" "uvicorn[standard]==0.54.0"
make_peer litellm "litellm[proxy]==1.106.2"
make_peer mlflow "mlflow[gateway]==3.17.2"
make_node_peer portkey "@portkey-ai/gateway@1.15.2"
