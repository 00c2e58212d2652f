"""Run in a Python of its own that has MLflow: what `mlflow.genai.compare_evaluations` says of pairs of arms.

python mlflow_peer.py PAIRS.npz OUT.json

PAIRS.npz holds arrays `baseline_K` and `candidate_K`; OUT.json gets the version, and p-value and interval of each pair. Simulations call the
functions that `compare_evaluations` calls with the paired values, as recording two runs takes seconds; that both say the same is
checked on the first pair, whose two runs are recorded and compared by the public function.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np


def main() -> None:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = (
            "false"  # rows whose trace is still under way are not paired
        )
        os.environ["MLFLOW_GENAI_EVAL_MAX_WORKERS"] = (
            "1"  # more wait for the database until their traces are lost
        )
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        os.chdir(folder)
        import mlflow

        pairs = np.load(sys.argv[1])
        count = sum(name.startswith("baseline_") for name in pairs.files)
        arms = [(pairs[f"baseline_{k}"], pairs[f"candidate_{k}"]) for k in range(count)]
        found = [
            compared(*pair, interval=bool(pairs["with_intervals"][k]))
            for k, pair in enumerate(arms)
        ]
        recorded = by_recorded_runs(*arms[0])
        known = compared(*arms[0], interval=True)
        if not np.allclose(recorded, known, equal_nan=True):
            sys.exit(f"two recorded runs give {recorded}, the functions {known}")
        told = {"version": mlflow.__version__, "results": found}
        Path(sys.argv[2]).write_text(json.dumps(told), "utf-8")


def compared(baseline: np.ndarray, candidate: np.ndarray, *, interval: bool) -> list[float]:
    """Return p-value, low and high; the interval takes a bootstrap, and is left out where nobody asks for it."""
    from mlflow.genai.evaluation.comparison.paired_comparison import _compare_paired_values
    from mlflow.genai.evaluation.comparison.significance_tests import _mcnemar, _wilcoxon

    if interval:
        one = _compare_paired_values("score", baseline, candidate, value_type="numeric")
        return [float(one.p_value), float(one.ci_low), float(one.ci_high)]
    is_binary = np.isin(np.concatenate([baseline, candidate]), (0.0, 1.0)).all()
    _, p_value = (_mcnemar if is_binary else _wilcoxon)(candidate - baseline)
    return [float(p_value), float("nan"), float("nan")]


def by_recorded_runs(baseline: np.ndarray, candidate: np.ndarray) -> list[float]:
    """Return the same from two runs of `mlflow.genai.evaluate`."""
    from mlflow.genai import compare_evaluations, evaluate, scorer

    @scorer
    def score(outputs: float) -> float:
        return float(outputs)

    runs = [
        evaluate(
            data=[{"inputs": {"row": k}, "outputs": float(x)} for k, x in enumerate(values)],
            scorers=[score],
        ).run_id
        for values in (baseline, candidate)
    ]
    one = compare_evaluations(candidate_run_id=runs[1], baseline_run_id=runs[0]).scorers["score"]
    return [float(one.p_value), float(one.ci_low), float(one.ci_high)]


if __name__ == "__main__":
    main()
