"""Parts of the page that need no browser."""

import time

import pytest

from ratchet.core import Grade
from ratchet.data.formulas import guard_cell
from ratchet.measure.agreement import people_agree
from ratchet.web.app import is_ours, secret_of
from ratchet.web.compare import diffed
from ratchet.web.people import TRIES, WITHIN_S, Doorkeeper
from ratchet.web.runs import span, spent


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|x", "'+cmd|x"),
        ("-2+3", "'-2+3"),
        ("@sum", "'@sum"),
        ("\t=1", "'\t=1"),
        ("-2.5", "-2.5"),
        ("+7", "+7"),
        ("plain = text", "plain = text"),
        ("", ""),
    ],
)
def test_no_spreadsheet_runs_a_cell(text, cell):
    """What would be a formula begins with an apostrophe; numbers stay numbers."""
    assert guard_cell(text) == cell


def test_a_difference_shows_text_as_text():
    """Marks of ours, and none of theirs."""
    assert diffed("a <b>x</b> c", "a <i>y</i> c") == "a <del>&lt;b&gt;x&lt;/b&gt;</del> <ins>&lt;i&gt;y&lt;/i&gt;</ins> c"  # fmt: skip
    assert diffed("same", "same") == "same"


def test_the_door_shuts_after_five_tries_and_opens_again(monkeypatch):
    """For the name and for the address; who got in begins anew; what is old is forgotten."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    door = Doorkeeper()
    for n in range(TRIES):
        assert door.waits("name ann", "address a") == 0
        assert door.left("name ann") == TRIES - n
        door.tries("name ann", "address a")
        now[0] += 1
    assert door.waits("name ann") == pytest.approx(WITHIN_S - TRIES)
    assert door.waits("name bob", "address a") > 0
    assert door.waits("name bob", "address b") == 0
    door.opens("name ann")
    assert door.waits("name ann") == 0
    now[0] += WITHIN_S
    assert door.waits("address a") == 0
    assert not door._tries


@pytest.mark.parametrize(
    ("headers", "parts", "ours"),
    [
        ({"host": "ratchet.example"}, {}, True),
        ({"host": "ratchet.example", "sec-fetch-site": "cross-site"}, {}, True),
        ({"host": "ratchet.example", "origin": "https://ratchet.example"}, {"type": "websocket"}, True),
        ({"host": "ratchet.example", "origin": "https://evil.example"}, {"type": "websocket"}, False),
        ({"host": "ratchet.example", "origin": "https://evil.example"}, {"method": "POST"}, False),
        ({"host": "ratchet.example", "sec-fetch-site": "same-site"}, {"method": "POST"}, False),
    ],
)  # fmt: skip
def test_the_page_is_for_its_own_pages(headers, parts, ours):
    """A link from elsewhere opens it; another site neither changes anything nor listens."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/people", "headers": raw, **parts}
    assert is_ours(scope) is ours


def test_the_secret_is_made_once_and_for_the_owner(tmp_path):
    """And is long."""
    first = secret_of(tmp_path / "page.secret")
    assert secret_of(tmp_path / "page.secret") == first
    assert len(first) > 40
    assert (tmp_path / "page.secret").stat().st_mode & 0o077 == 0


def test_people_agree_or_not():
    """One alone says nothing; two of one mind agree to 1."""

    def grades(who, values):
        return [Grade(candidate_id="c", task_id="t", example_id=f"e{n}", who=who, grade="x", value=v) for n, v in enumerate(values)]  # fmt: skip

    ann = grades("ann", [1, 0, 1, 0])
    assert people_agree(ann) is None
    assert people_agree([*ann, *grades("bob", [1, 0, 1, 0])]) == pytest.approx(1)
    assert people_agree([*ann, *grades("bob", [0, 1, 0, 1])]) < 0


def test_spending_in_words():
    """Against the budget where there is one."""
    assert spent({"calls": 1200, "cost_usd": 0.5, "of_calls": None, "of_usd": 5.0}) == "$0.50 of $5.00 spent, 1,200 calls"  # fmt: skip
    assert spent({"calls": 3, "cost_usd": 0.0, "of_calls": 10, "of_usd": None}) == "$0.00 spent, 3 of 10 calls"  # fmt: skip
    assert spent({"calls": 3, "cost_usd": None, "of_calls": 10, "of_usd": 2.0}) == "cost unknown of $2.00, 3 of 10 calls"  # fmt: skip
    assert not spent({"title": "reading"})


def test_times_in_words():
    """Seconds, then minutes."""
    assert (span(59.6), span(120)) == ("60 s", "2 min")
