"""The error tree: what the docstring draws is what the classes are."""

import re

import pytest

from ratchet.core import errors
from ratchet.core.errors import RatchetError, ReplyError, did_you_mean

DRAWN = re.compile(
    r"^ {4}(?P<branch>[│├└─ ]*)(?P<name>\w+Error) +(?:exit +)?(?P<code>\d+)", re.MULTILINE
)


def drawn() -> dict[str, tuple[str | None, int]]:
    """Return the parent and the exit code of each error, as the module's docstring draws them."""
    found: dict[str, tuple[str | None, int]] = {}
    above: dict[int, str] = {}
    for line in DRAWN.finditer(errors.__doc__ or ""):
        depth = len(line["branch"]) // 4
        above[depth] = line["name"]
        found[line["name"]] = (above.get(depth - 1), int(line["code"]))
    return found


def test_every_error_is_drawn() -> None:
    """The tree in the docstring shows every error that there is, and no other."""
    there = {name for name in errors.__all__ if name.endswith("Error")}

    assert set(drawn()) == there


@pytest.mark.parametrize("name", [n for n in errors.__all__ if n.endswith("Error")])
def test_an_error_has_the_parent_and_the_exit_code_that_are_drawn(name: str) -> None:
    """Each error hangs where the docstring draws it and ends the command line with the code beside it."""
    parent, code = drawn()[name]

    error = getattr(errors, name)

    assert error.exit_code == code
    assert error.__base__ is (getattr(errors, parent) if parent else Exception)


def test_branches_have_exit_codes_of_their_own() -> None:
    """A script can tell the kinds of errors apart by the exit code, which is never 0."""
    branches = [RatchetError, *RatchetError.__subclasses__()]

    codes = [branch.exit_code for branch in branches]

    assert len(set(codes)) == len(codes)
    assert min(codes) > 0


def test_a_reply_error_says_which_way_it_failed() -> None:
    """Failures of endpoints are counted by a word."""
    error = ReplyError("no reply", kind="timeout")

    assert (str(error), error.kind) == ("no reply", "timeout")


@pytest.mark.parametrize(
    ("name", "hint"), [("txt", " Did you mean 'text'?"), ("zebra", ""), ("", "")]
)
def test_a_misspelt_name_gets_a_hint(name: str, hint: str) -> None:
    """The closest known name is suggested, and nothing where none is close."""
    assert did_you_mean(name, ["text", "label"]) == hint
