"""Every number that Ratchet reports is made here."""

from ratchet.measure.compare import compare
from ratchet.measure.evaluate import Bench, Plan, Progress, evaluate, plan
from ratchet.measure.intervals import bootstrap_interval, mean_interval, t_interval, wilson_interval
from ratchet.measure.measurement import Measurement, Missing, trials_frame

__all__ = [
    "Bench",
    "Measurement",
    "Missing",
    "Plan",
    "Progress",
    "bootstrap_interval",
    "compare",
    "evaluate",
    "mean_interval",
    "plan",
    "t_interval",
    "trials_frame",
    "wilson_interval",
]
