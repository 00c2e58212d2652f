"""Ratchet: measure where a language model stands on your task, find what makes it better, and keep only what is proven.

Names are loaded when they are first used, so that `import ratchet` is quick.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ratchet.climbing import Climbing
    from ratchet.core import (
        AnswerForm,
        Budget,
        Candidate,
        Decoding,
        Demonstration,
        Example,
        InputField,
        Interval,
        MetricSpec,
        Nearest,
        Retrieval,
        Roles,
        Score,
        SplitSpec,
        Step,
        Task,
        Trial,
        Verdict,
    )
    from ratchet.core.errors import RatchetError
    from ratchet.data import (
        find_leaks,
        good_rows,
        guess_columns,
        guess_task,
        split_examples,
        to_examples,
    )
    from ratchet.judging import Judging
    from ratchet.levers import (
        DecodingLever,
        DemosLever,
        DspyLever,
        ModelLever,
        PromptLever,
        Proposer,
        RetrievalLever,
        TuneLever,
    )
    from ratchet.measure import Measurement
    from ratchet.tuning import TuningSettings
    from ratchet.workbench import Workbench

__version__ = "0.1.0"

_PLACES = {
    "core": (
        "AnswerForm",
        "Budget",
        "Candidate",
        "Decoding",
        "Demonstration",
        "Example",
        "InputField",
        "Interval",
        "MetricSpec",
        "Nearest",
        "Retrieval",
        "Roles",
        "Score",
        "SplitSpec",
        "Step",
        "Task",
        "Trial",
        "Verdict",
    ),
    "core.errors": ("RatchetError",),
    "data": (
        "find_leaks",
        "good_rows",
        "guess_columns",
        "guess_task",
        "split_examples",
        "to_examples",
    ),
    "climbing": ("Climbing",),
    "judging": ("Judging",),
    "levers": (
        "DecodingLever",
        "DemosLever",
        "DspyLever",
        "ModelLever",
        "PromptLever",
        "Proposer",
        "RetrievalLever",
        "TuneLever",
    ),
    "measure": ("Measurement",),
    "tuning": ("TuningSettings",),
    "workbench": ("Workbench",),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [
    "AnswerForm",
    "Budget",
    "Candidate",
    "Climbing",
    "Decoding",
    "DecodingLever",
    "Demonstration",
    "DemosLever",
    "DspyLever",
    "Example",
    "InputField",
    "Interval",
    "Judging",
    "Measurement",
    "MetricSpec",
    "ModelLever",
    "Nearest",
    "PromptLever",
    "Proposer",
    "RatchetError",
    "Retrieval",
    "RetrievalLever",
    "Roles",
    "Score",
    "SplitSpec",
    "Step",
    "Task",
    "Trial",
    "TuneLever",
    "TuningSettings",
    "Verdict",
    "Workbench",
    "__version__",
    "find_leaks",
    "good_rows",
    "guess_columns",
    "guess_task",
    "split_examples",
    "to_examples",
]


def __getattr__(name: str) -> object:
    if name not in _PLACE_OF:
        raise AttributeError(f"module 'ratchet' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ratchet.{_PLACE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
