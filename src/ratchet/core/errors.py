"""Every error that Ratchet raises on purpose.

    RatchetError                exit  1
    ├── UsageError                    2   a command or call that cannot be carried out as asked
    │   └── BudgetError               2   a budget too small to do anything
    ├── DataError                     3   a file, row or column that cannot be read
    ├── TaskError                     4   a task that is incomplete or contradicts itself
    │   ├── TemplateError             4   a template that does not parse, or names an unknown field
    │   ├── CandidateError            4   a candidate that does not fit its task
    │   └── MetricError               4   a metric that is unknown, or returned something that is no score
    ├── ModelError                    5   a model that is unknown or does not answer
    │   ├── UnknownModelError         5
    │   ├── AccessError               5   a key that is missing or refused
    │   ├── ParameterError            5   a parameter that a candidate names, and its model does not take
    │   └── ReplyError                5   no usable reply after all retries; `kind` says which way it failed
    ├── StoreError                    6   the database or the files
    │   └── BusyError                11   another process works on this workspace
    └── TuningError                   7   a training run that cannot start or go on

A message names the thing, the rule, the value and the remedy.
"""

import difflib
from collections.abc import Iterable

__all__ = [
    "AccessError",
    "BudgetError",
    "BusyError",
    "CandidateError",
    "DataError",
    "MetricError",
    "ModelError",
    "ParameterError",
    "RatchetError",
    "ReplyError",
    "StoreError",
    "TaskError",
    "TemplateError",
    "TuningError",
    "UnknownModelError",
    "UsageError",
    "did_you_mean",
]


class RatchetError(Exception):
    """Anything that Ratchet refuses; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(RatchetError):
    exit_code = 2


class BudgetError(UsageError):
    pass


class DataError(RatchetError):
    exit_code = 3


class MovedError(DataError):
    """Somebody else stored another version of what this one was made of."""


class TaskError(RatchetError):
    exit_code = 4


class TemplateError(TaskError):
    pass


class CandidateError(TaskError):
    pass


class MetricError(TaskError):
    pass


class ModelError(RatchetError):
    exit_code = 5


class UnknownModelError(ModelError):
    pass


class AccessError(ModelError):
    pass


class ParameterError(ModelError):
    """A model does not take what a candidate names; `param` is the name."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.param = param


class ReplyError(ModelError):
    """No usable reply; `kind` is a word to count by (`timeout`, `rate limit`, `connection`, `status 500`, `malformed`).

    Args:
        message: For people.
        kind: See above.
        status: The endpoint's status, where it gave one.
        code: The endpoint's own word for the error.
        param: The parameter that the endpoint says it is about.
        retry_after_s: How long the endpoint wants to be left alone, in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind, self.status, self.code, self.param = kind, status, code, param
        self.retry_after_s = retry_after_s
        self.spent: list[object] = []
        """Replies that came before it or with it, and are paid for."""


class StoreError(RatchetError):
    exit_code = 6


class BusyError(StoreError):
    exit_code = 11


class TuningError(RatchetError):
    exit_code = 7


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
