#!/usr/bin/env bash
# On SQLite with its default ten workers, mlflow.genai.evaluate loses the traces of many rows, and
# only logs warnings.
# Expected: each evaluated row has its trace, or the evaluation fails; ten workers are not slower
# than one.
# Installs about 80 packages and takes some minutes: it waits for the database until
# connections time out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check mlflow==3.17.2

cd "$folder"
export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true
cat >evaluate.py <<'PYTHON'
import sys
import time

import mlflow
from mlflow.genai import evaluate, scorer


@scorer
def score(outputs: float) -> float:
    return outputs


rows = [{"inputs": {"row": k}, "outputs": float(k % 2)} for k in range(60)]
start = time.monotonic()
result = evaluate(data=rows, scorers=[score])
traces = mlflow.search_traces(run_id=result.run_id, max_results=500, return_type="list")
scored = sum(any(a.name == "score" for a in trace.info.assessments) for trace in traces)
print(f"seen: {len(traces)} of {len(rows)} traces, {scored} with a score, "
      f"mean {result.metrics['score/mean']}, {time.monotonic() - start:.0f} s")
sys.exit(len(traces) != len(rows))
PYTHON
run() {
  MLFLOW_TRACKING_URI="sqlite:///$folder/$1.db" "$folder/venv/bin/python" evaluate.py 2>"$1.log" |
    grep '^seen:'
}

echo "mlflow $("$folder/venv/bin/python" -c 'import mlflow; print(mlflow.__version__)')"
echo "60 rows evaluated without an error; the mean is of all of them, but not all have a trace:"
echo "With one worker:"
MLFLOW_GENAI_EVAL_MAX_WORKERS=1 run single
echo "With the default workers:"
if run default; then
  echo "changed: no trace is lost"
  exit 1
fi
echo "The log has $(grep -c 'Failed to send trace' default.log) lines like:"
grep -m1 -o 'WARNING.*Failed to send trace.*timeout 30.00' default.log
