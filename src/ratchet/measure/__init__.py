"""Every number that Ratchet reports is made here."""

from ratchet.measure.agreement import Agreement, measure_agreement
from ratchet.measure.asking import Bench, Progress, bought, check_priced
from ratchet.measure.audit import audit, audit_sentence
from ratchet.measure.brought import (
    AnswerColumns,
    AnswerImport,
    answered_counts,
    check_brought,
    import_answers,
    read_answers,
)
from ratchet.measure.calibrate import Calibration, calibrate, corrected_mean, own_family
from ratchet.measure.check import Finding, check_task
from ratchet.measure.compare import compare, compare_all, compare_totals
from ratchet.measure.contrasts import Contrast, measure_contrasts
from ratchet.measure.curve import Curve, Point, learning_curve
from ratchet.measure.drift import Drift, DriftTest
from ratchet.measure.duels import Duels, judged_bouts, scored_bouts
from ratchet.measure.evaluate import Plan, evaluate, mean_score, plan, recall, recall_all
from ratchet.measure.forgetting import (
    Forgetting,
    Probe,
    forgetting,
    load_probes,
    probes_for,
    texts_for,
)
from ratchet.measure.front import Standing, cheapest_not_worse, standings
from ratchet.measure.intervals import (
    agresti_coull_interval,
    bootstrap_interval,
    mean_interval,
    t_interval,
)
from ratchet.measure.measurement import (
    Measurement,
    Missing,
    grade_text,
    number_text,
    trials_frame,
)
from ratchet.measure.pooled import PooledVerdict
from ratchet.measure.race import Race, RaceProgress, race
from ratchet.measure.ratings import Bout, Rating, rank
from ratchet.measure.sequential import Contest, Sequential, price_of_looking, settle

__all__ = [
    "Agreement",
    "AnswerColumns",
    "AnswerImport",
    "Bench",
    "Bout",
    "Calibration",
    "Contest",
    "Contrast",
    "Curve",
    "Drift",
    "DriftTest",
    "Duels",
    "Finding",
    "Forgetting",
    "Measurement",
    "Missing",
    "Plan",
    "Point",
    "PooledVerdict",
    "Probe",
    "Progress",
    "Race",
    "RaceProgress",
    "Rating",
    "Sequential",
    "Standing",
    "agresti_coull_interval",
    "answered_counts",
    "audit",
    "audit_sentence",
    "bootstrap_interval",
    "bought",
    "calibrate",
    "cheapest_not_worse",
    "check_brought",
    "check_priced",
    "check_task",
    "compare",
    "compare_all",
    "compare_totals",
    "corrected_mean",
    "evaluate",
    "forgetting",
    "grade_text",
    "import_answers",
    "judged_bouts",
    "learning_curve",
    "load_probes",
    "mean_interval",
    "mean_score",
    "measure_agreement",
    "measure_contrasts",
    "number_text",
    "own_family",
    "plan",
    "price_of_looking",
    "probes_for",
    "race",
    "rank",
    "read_answers",
    "recall",
    "recall_all",
    "scored_bouts",
    "settle",
    "standings",
    "t_interval",
    "texts_for",
    "trials_frame",
]
