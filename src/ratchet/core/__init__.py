"""The six nouns and their errors; this floor imports nothing of ours."""

from ratchet.core.budget import Budget
from ratchet.core.candidate import (
    BROUGHT,
    STORED,
    Candidate,
    Decoding,
    Demonstration,
    Effort,
    Nearest,
    brought_candidate,
)
from ratchet.core.diagnosis import (
    CAUSES,
    Cause,
    Cluster,
    Diagnosis,
    Experiment,
    Promise,
    Share,
)
from ratchet.core.example import Example, Split
from ratchet.core.grade import Grade
from ratchet.core.knowledge import Chunking, Knowledge, Passage
from ratchet.core.opening import Opening
from ratchet.core.records import Json, Record, canonical_json, content_id
from ratchet.core.release import Release
from ratchet.core.retrieval import (
    Compressing,
    Filtering,
    Guard,
    Reranking,
    Retrieval,
    Rewriting,
    Routing,
    Tables,
)
from ratchet.core.step import Entrant, Spend, Step
from ratchet.core.task import AnswerForm, InputField, MetricSpec, Roles, SplitSpec, Task
from ratchet.core.templates import RESERVED_NAMES, escape_template
from ratchet.core.trial import FailureKind, Score, Trial, Usage, total
from ratchet.core.verdict import Decision, Interval, Verdict, points_text

__all__ = [
    "BROUGHT",
    "CAUSES",
    "RESERVED_NAMES",
    "STORED",
    "AnswerForm",
    "Budget",
    "Candidate",
    "Cause",
    "Chunking",
    "Cluster",
    "Compressing",
    "Decision",
    "Decoding",
    "Demonstration",
    "Diagnosis",
    "Effort",
    "Entrant",
    "Example",
    "Experiment",
    "FailureKind",
    "Filtering",
    "Grade",
    "Guard",
    "InputField",
    "Interval",
    "Json",
    "Knowledge",
    "MetricSpec",
    "Nearest",
    "Opening",
    "Passage",
    "Promise",
    "Record",
    "Release",
    "Reranking",
    "Retrieval",
    "Rewriting",
    "Roles",
    "Routing",
    "Score",
    "Share",
    "Spend",
    "Split",
    "SplitSpec",
    "Step",
    "Tables",
    "Task",
    "Trial",
    "Usage",
    "Verdict",
    "brought_candidate",
    "canonical_json",
    "content_id",
    "escape_template",
    "points_text",
    "total",
]
