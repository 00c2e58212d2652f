"""Every number that Ratchet reports is made here."""

from ratchet.measure.asking import Bench, Progress
from ratchet.measure.check import Finding, check_task
from ratchet.measure.compare import compare, compare_all
from ratchet.measure.evaluate import Plan, evaluate, plan, recall
from ratchet.measure.front import Standing, cheapest_not_worse, standings
from ratchet.measure.intervals import bootstrap_interval, mean_interval, t_interval, wilson_interval
from ratchet.measure.measurement import Measurement, Missing, trials_frame
from ratchet.measure.race import Race, RaceProgress, race
from ratchet.measure.sequential import Contest, Sequential, settle

__all__ = [
    "Bench",
    "Contest",
    "Finding",
    "Measurement",
    "Missing",
    "Plan",
    "Progress",
    "Race",
    "RaceProgress",
    "Sequential",
    "Standing",
    "bootstrap_interval",
    "cheapest_not_worse",
    "check_task",
    "compare",
    "compare_all",
    "evaluate",
    "mean_interval",
    "plan",
    "race",
    "recall",
    "settle",
    "standings",
    "t_interval",
    "trials_frame",
    "wilson_interval",
]
