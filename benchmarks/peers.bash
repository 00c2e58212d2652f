# Sourced by the make_peers.sh of a benchmark: one environment a peer, each with its own resolution, in a folder outside the
# repository. A peer that does not install is left out.
folder=${1:?"name a folder outside the repository: make_peers.sh FOLDER [PYTHON]"}
python=${2:-python3}
mkdir -p "$folder"

make_peer() {
  local name=$1
  shift
  if "$python" -m venv "$folder/$name" && "$folder/$name/bin/python" -m pip install --quiet "$@"; then
    echo "$name: $*"
  else
    echo "$name: did not install" >&2
    rm -rf "${folder:?}/$name"
  fi
}
