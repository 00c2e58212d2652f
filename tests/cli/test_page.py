"""The commands beside the page: people, and examples that a model writes."""

import json

import pytest

pytest.importorskip("argon2")


def test_people_come_and_go(ratchet, workspace, monkeypatch):
    """The password is taken from the environment where nobody can be asked; an admin remains."""
    assert "no login" in ratchet("people", "list").stdout
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert "8 characters" in ratchet("people", "add", "ann", "--role", "admin", code=2).stderr
    monkeypatch.setenv("RATCHET_PASSWORD", "correct horse")
    assert "viewer, editor, admin" in ratchet("people", "add", "ann", "--role", "boss", code=2).stderr  # fmt: skip
    ratchet("people", "add", "ann", "--role", "admin")
    ratchet("people", "add", "bob")

    assert json.loads(ratchet("people", "list", "--json").stdout) == [{"name": "ann", "role": "admin"}, {"name": "bob", "role": "editor"}]  # fmt: skip
    assert "only admin" in ratchet("people", "remove", "ann", code=2).stderr
    ratchet("people", "remove", "bob")
    assert "there is no person 'bob'" in ratchet("people", "remove", "bob", code=2).stderr


def test_a_model_that_writes_no_example_is_told_of(ratchet, workspace):
    """The scripted endpoint says `billing` to all: nothing is taken, and why is said."""
    said = ratchet("synth", "tickets", "--count", "3", "--max-calls", "4").stdout
    assert "0 examples written by mock/m; refused: 4 not in the form" in said
    assert "alike, rare, reverse" in ratchet("synth", "tickets", "--kind", "odd", code=2).stderr
