"""What an answer must pass beside its form: a function of the user's, and for SQL that it runs."""

from collections.abc import Callable
from pathlib import Path

from ratchet.answer.sql import QueryError, database_of, run_query
from ratchet.core import Json, Task
from ratchet.core.errors import TaskError
from ratchet.core.user_functions import UserFunction

__all__ = ["Check", "check_of"]

Check = Callable[[dict[str, Json], Json], str | None]
"""From inputs and answer to what is wrong with it, in words for the model; None where nothing is."""


def check_of(task: Task, root: Path) -> Check | None:
    """Return what the task checks; None where it checks nothing.

    Raises: TaskError if its function is not there.
    """
    form = task.answer
    checks: list[Check] = []
    if form.database:
        place = form.database
        checks.append(lambda inputs, answer: query_problem(place, inputs, answer, root))
    if form.check:
        function = UserFunction(form.check, root, setting="answer.check")
        checks.append(lambda inputs, answer: told(function, inputs, answer))
    if not checks:
        return None
    return lambda inputs, answer: next(
        (problem for check in checks if (problem := check(inputs, answer))), None
    )


def query_problem(place: str, inputs: dict[str, Json], query: Json, root: Path) -> str | None:
    try:
        run_query(database_of(place, inputs, root), str(query))
    except QueryError as error:
        return f"the query fails: {error}"
    return None


def told(function: Callable[..., object], inputs: dict[str, Json], answer: Json) -> str | None:
    """Return what the user's function says.

    Raises: TaskError if it fails, or returns neither text nor a truth value.
    """
    name = getattr(function, "__name__", "check")
    try:
        said = function(inputs, answer)
    except (Exception, SystemExit) as error:
        raise TaskError(
            f"answer.check {name!r} failed on the answer {answer!r}: {error!r}"
        ) from error
    if said is None or said is True or said == "":
        return None
    if said is False:
        return "it does not pass the check"
    if isinstance(said, str):
        return said
    raise TaskError(
        f"answer.check {name!r} returned {said!r}; return what is wrong as text, and None where nothing is"
    )
