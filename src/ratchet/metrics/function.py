"""Any Python function of the user as a metric: `score(inputs, reference, answer)` returns a number, a bool or a Score."""

import functools
import hashlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, ModuleType

from ratchet.core import Example, FailureKind, Json, Score
from ratchet.core.errors import MetricError
from ratchet.core.functions import hash_sources
from ratchet.core.user_functions import UserFunction, Where, function_here
from ratchet.metrics.metric import Aggregate, failure_sentence, metric_id

__all__ = ["FunctionMetric"]

ScoreFunction = Callable[[dict[str, Json], Json, Json], "float | bool | Score"]


class FunctionMetric:
    """Score by a function. The id follows its file and what that imports from the workspace, so that old and new scores never mix.

    Args:
        function: The user's.
        root: The workspace's folder; by default the folder of the function's file.
    """

    aggregates: tuple[Aggregate, ...] = ()
    needs_references = False

    def __init__(self, function: ScoreFunction, *, root: Path | None = None) -> None:
        self._function = function
        self._name = getattr(function, "__name__", "function")
        self.takes_time = isinstance(function, UserFunction)
        source = (
            function.ask("ratchet.metrics.function:identify_here")
            if isinstance(function, UserFunction)
            else _identity(function, root)
        )
        self.id = metric_id("function", 2, {"name": self._name, "source": source})

    def score(self, example: Example, answer: Json) -> Score:
        """Call the function.

        Raises: MetricError if it fails, ends the process, or returns something that is no score in [0, 1].
        """
        try:
            outcome = self._function(example.inputs, example.reference, answer)
        except (Exception, SystemExit) as error:
            raise MetricError(
                f"metric {self._name!r} failed on example {example.id} ({example.source}): {error!r}"
            ) from error
        if isinstance(outcome, Score):
            return outcome
        value = _plain_number(outcome)
        if value is None or not 0 <= value <= 1:
            raise MetricError(
                f"metric {self._name!r} returned {outcome!r} for example {example.id}; return a number in [0, 1] or a Score"
            )
        return Score(value=value)

    def failed(self, _example: Example, failure: FailureKind) -> Score:
        """Score 0 without a call: there is no answer to hand over."""
        return Score(value=0.0, feedback=failure_sentence(failure))


def identify_here(where: Where) -> str:
    """Return what tells the behaviour of a function in a user's file apart, in the process that calls it."""
    return _identity(function_here(where), Path(where[1]))


def _plain_number(outcome: object) -> float | None:
    """Return a number or truth value of Python, or one that numpy, torch and others wrap; None where it is none."""
    if not isinstance(outcome, int | float) and getattr(outcome, "shape", None) == ():
        outcome = outcome.item()  # type: ignore[attr-defined]  # what has a shape of no dimension has it
    return float(outcome) if isinstance(outcome, int | float) else None


def _identity(function: Callable[..., object], root: Path | None) -> str:
    """Return what tells a function's behaviour apart: its code, what it closes over, and its file with what that imports."""
    inner = getattr(function, "__wrapped__", None)
    if isinstance(function, functools.partial):
        inner = function.func
    if inner is not None:
        parts = [repr(getattr(function, name, None)) for name in ("args", "keywords")]
        return _digest([*parts, _identity(inner, root)])
    parts = list(_parts_of(function, set()))
    file = _file_of(function)
    if file is not None:
        parts.append(hash_sources(file, root or file.parent))
    return _digest(parts)


def _file_of(function: Callable[..., object]) -> Path | None:
    """Return the file that a function was defined in; None in a notebook, or for one that is built in."""
    try:
        name = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        return None
    path = Path(name) if name else None
    return path if path is not None and path.is_file() else None


def _parts_of(function: object, seen: set[int]) -> Iterator[str]:
    """Yield the source of a function, what it closes over, and where it has no file the globals that it uses."""
    if id(function) in seen:
        return
    seen.add(id(function))
    try:
        yield inspect.getsource(function)  # type: ignore[arg-type]  # TypeError says that it has none
    except (OSError, TypeError):
        yield getattr(function, "__qualname__", type(function).__qualname__)
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return
    yield repr(getattr(function, "__defaults__", None))
    for cell in getattr(function, "__closure__", None) or ():
        try:
            yield from _value_parts(cell.cell_contents, seen)
        except ValueError:  # not filled yet
            continue
    if _file_of(function) is None:  # type: ignore[arg-type]
        namespace = getattr(function, "__globals__", {})
        for name in sorted(_names_in(code)):
            if name in namespace:
                yield name
                yield from _value_parts(namespace[name], seen)


def _value_parts(value: object, seen: set[int]) -> Iterator[str]:
    """Yield what tells a value apart that a function uses: its source if it is code, else what it shows."""
    if isinstance(value, ModuleType):
        yield value.__name__
    elif callable(value):
        yield from _parts_of(value, seen)
    elif type(value).__repr__ is not object.__repr__:
        yield re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # an address is another one each time


def _names_in(code: CodeType) -> set[str]:
    """Return the names that code looks up, that of functions inside it too."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names_in(constant)
    return names


def _digest(parts: list[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}\0{part}".encode(errors="surrogatepass"))
    return digest.hexdigest()
