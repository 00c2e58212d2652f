#!/usr/bin/env bash
# Make one virtual environment a peer, each with its own resolution, in a folder outside the repository:
#   benchmarks/throughput/make_peers.sh FOLDER [PYTHON]
# then: python benchmarks/throughput/run.py --peers FOLDER
# A peer that does not install is left out; run.py says so.
set -euo pipefail
source "$(dirname "$0")/../peers.bash"

make_peer openai "openai==3.54.0"
make_peer httpx "httpx==0.28.1"
make_peer dspy "dspy==3.4.1"
make_peer langchain "langchain-openai==1.7.3"
