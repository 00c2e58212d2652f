"""Functions of a user's own files, called in a process of their own: one that ends, hangs or eats memory ends itself and no measurement.

What is handed over and what comes back are plain values and scores. The file is read anew where it, or what it imports from the
workspace, has changed.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from ratchet.core.errors import MetricError, TaskError
from ratchet.core.functions import hash_sources, load_function
from ratchet.core.sandbox import Sandbox, SandboxError, SandboxLimits
from ratchet.core.trial import Score

__all__ = ["UserFunction", "UserFunctionError"]

LIMITS = SandboxLimits(memory_bytes=8 * 2**30, file_bytes=2**30)
LOAD_S = 600.0
"""How long a file may take to be loaded: it may load a model."""
CALL_S = 60.0
"""How long a call may take."""
MAX_SHOWN = 200
Where = tuple[str, str, str, str, str]
"""A function's place, the workspace, the digest of its sources, what names it, and the error's class."""
ERRORS: dict[str, type[Exception]] = {"MetricError": MetricError, "TaskError": TaskError}
_loaded: dict[tuple[str, str, str], Any] = {}
"""In the process that calls: functions by place, workspace and the digest of their sources."""


class UserFunctionError(Exception):
    """What a user's function raised, in its own words, or how it ended."""

    def __repr__(self) -> str:
        return str(self)


class Unreadable:
    """A result that is no plain value; it shows as what it was."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


class UserFunction:
    """A function at `file.py:name`, called elsewhere.

    Args:
        place: `file.py:name`.
        root: The workspace's folder, which the file is meant from.
        setting: What names it, for messages.
        error: What is raised where it cannot be loaded.
    Raises: `error`.
    """

    def __init__(
        self, place: str, root: Path, *, setting: str, error: type[TaskError] = TaskError
    ) -> None:
        self._place, self._root = place, root.resolve()
        self._setting, self._error = setting, error
        path = self._root / place.partition(":")[0]
        self._digest = hash_sources(path, self._root) if path.is_file() else ""
        self.__name__ = self.ask("ratchet.core.user_functions:name_here")

    @property
    def _where(self) -> Where:
        return (self._place, str(self._root), self._digest, self._setting, self._error.__name__)

    def ask(self, target: str) -> Any:
        """Return what a function of ours says of the user's, asked in the process that calls it."""
        try:
            return _sandbox(self._root).call(
                target,
                self._where,
                timeout_s=LOAD_S,
            )
        except SandboxError as error:
            words = f"{self._place} cannot be loaded: {_with_output(error)}"
            raise self._error(words) from error

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function returns.

        Raises: UserFunctionError if it raises, takes too long, or ends its process.
        """
        try:
            kind, value = _sandbox(self._root).call(
                "ratchet.core.user_functions:call_here",
                self._where,
                arguments,
                timeout_s=CALL_S,
            )
        except SandboxError as error:
            raise UserFunctionError(_with_output(error)) from error
        if kind == "raised":
            raise UserFunctionError(value)
        if kind == "score":
            return Score.model_validate(value)
        return Unreadable(value) if kind == "other" else value


def _with_output(error: SandboxError) -> str:
    printed = error.output[-MAX_SHOWN:]
    return f"{error}{f'; it printed: {printed}' if printed else ''}"


@lru_cache(maxsize=4)
def _sandbox(root: Path) -> Sandbox:
    """Return the processes of a workspace; those of one that was not asked for lately end once nobody calls them."""
    return Sandbox(LIMITS, folder=root, errors=ERRORS)


def function_here(where: Where) -> Any:
    """Return the function as it was when it was named, in the process that calls it.

    Raises: the error that `where` names, also if the file has changed since and this process has not seen it before.
    """
    place, root, digest, setting, error = where
    key = (place, root, digest)
    if key not in _loaded:
        kind = ERRORS[error]
        assert issubclass(kind, TaskError)
        path = Path(root) / place.partition(":")[0]
        if path.is_file() and hash_sources(path, Path(root)) != digest:
            raise kind(f"{path} has changed since it was loaded; run the command again")
        _loaded[key] = load_function(place, Path(root), setting=setting, error=kind)
    return _loaded[key]


def name_here(where: Where) -> str:
    """Return the function's own name."""
    return str(getattr(function_here(where), "__name__", "function"))


def call_here(where: Where, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    """Return what a call comes to: plain, a score, what else it was in words, or what it raised."""
    function = function_here(where)
    try:
        outcome = function(*arguments)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - told to who called
        return "raised", repr(error)
    if isinstance(outcome, Score):
        return "score", outcome.model_dump(mode="json")
    if not isinstance(outcome, int | float) and getattr(outcome, "shape", None) == ():
        outcome = outcome.item()  # a number of numpy, torch and others
    for plain in (bool, int, float, str):
        if isinstance(
            outcome, plain
        ):  # one of a type of their own comes over as what it stands for
            return "plain", plain(outcome)
    if outcome is None:
        return "plain", None
    return "other", repr(outcome)[:MAX_SHOWN]
