"""Which lever next, and whether to keep what it found."""

from ratchet.ladder.admit import ALPHA, admit, level_of
from ratchet.ladder.canary import canary_test, current, roll_back, settle_canaries, start_canary
from ratchet.ladder.changes import Changed, changed_by
from ratchet.ladder.climb import Ground, Rung, climb
from ratchet.ladder.curate import examples_of_logs, preferences_of_trials
from ratchet.ladder.curve import data_curve
from ratchet.ladder.diagnose import QUICK, Depth, diagnose
from ratchet.ladder.doubts import committee_of, doubts_of
from ratchet.ladder.edits import Edit, edits, edits_of
from ratchet.ladder.final import login_name, open_test
from ratchet.ladder.gate import Gate, gate, markdown_of
from ratchet.ladder.journey import Ask, journey, reason
from ratchet.ladder.judges import judge_metric, judge_named, judge_names, metric_of, rag_metric
from ratchet.ladder.prospects import Option, Prospects, prospects_of
from ratchet.ladder.release import promote
from ratchet.ladder.report import html_report
from ratchet.ladder.rung_text import COLUMNS, FIGURES, cost_text, gain_text, rung_cells, score_text
from ratchet.ladder.story import ChampionPrompt, Story, json_report, markdown_report
from ratchet.ladder.synthesis import KINDS, synthesise
from ratchet.ladder.wheel import Passed, Queued, drift_since, passed_of, queue_of

__all__ = [
    "ALPHA",
    "COLUMNS",
    "FIGURES",
    "KINDS",
    "QUICK",
    "Ask",
    "ChampionPrompt",
    "Changed",
    "Depth",
    "Edit",
    "Gate",
    "Ground",
    "Option",
    "Passed",
    "Prospects",
    "Queued",
    "Rung",
    "Story",
    "admit",
    "canary_test",
    "changed_by",
    "climb",
    "committee_of",
    "cost_text",
    "current",
    "data_curve",
    "diagnose",
    "doubts_of",
    "drift_since",
    "edits",
    "edits_of",
    "examples_of_logs",
    "gain_text",
    "gate",
    "html_report",
    "journey",
    "json_report",
    "judge_metric",
    "judge_named",
    "judge_names",
    "level_of",
    "login_name",
    "markdown_of",
    "markdown_report",
    "metric_of",
    "open_test",
    "passed_of",
    "preferences_of_trials",
    "promote",
    "prospects_of",
    "queue_of",
    "rag_metric",
    "reason",
    "roll_back",
    "rung_cells",
    "score_text",
    "settle_canaries",
    "start_canary",
    "synthesise",
]
