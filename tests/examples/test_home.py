"""The sentences of the home's commands: what a template comes to, and that forms are groups."""

from random import Random

import pytest
from examples.home import commands

RULES = {"the": "(the|my)", "turn": "(turn|switch [(up|down)])"}
LISTS = {
    "color": {"values": [{"in": "(dark|light) red", "out": "red"}, "blue"]},
    "level": {"range": {"from": 0, "to": 100}},
}


def sentences(template, count=200):
    """Return the different sentences of a template."""
    rng = Random(0)
    return {commands.expand(template, RULES, LISTS, rng) for _ in range(count)}


def test_optional_words_come_and_go():
    """Square brackets may be left out, at any depth, and leave no double space."""
    assert sentences("dim [all [the]] lights") == {
        "dim lights",
        "dim all lights",
        "dim all the lights",
    }


def test_alternatives_are_each_drawn_and_stay_in_their_bracket():
    """One of the parts between bars is taken; a bar inside another bracket parts nothing."""
    assert sentences("(on|off|(half|full) on)") == {"on", "off", "half on", "full on"}


def test_permutations_come_in_any_order():
    """Parts between semicolons are all said, in any order."""
    assert sentences("lights (on;[now])") == {"lights on", "lights on now", "lights now on"}


def test_rules_and_lists_are_put_in():
    """A rule is a template too, a value may be one, and a range gives numbers within it."""
    assert sentences("<turn> <the> light") >= {"turn the light", "switch up my light"}
    assert sentences("{color:slot}") == {"dark red", "light red", "blue"}
    numbers = {int(said) for said in sentences("{level}")}
    assert numbers
    assert all(0 <= number <= 100 for number in numbers)


def test_names_of_the_home_are_its_own():
    """What the package leaves to the home comes from this home."""
    assert sentences("{area}") == set(commands.AT_HAND["area"])


def test_a_bracket_that_stays_open_is_named():
    """A template that is cut off is an error that quotes it."""
    with pytest.raises(ValueError, match=r"'turn \[on': the bracket at character 6 is not closed"):
        commands.expand("turn [on", RULES, LISTS, Random(0))


def test_rows_are_distinct_and_know_their_form():
    """Commands are different, at most so many of an intent, each with its template as the form; one seed gives one file."""
    data = {
        "expansion_rules": RULES,
        "lists": LISTS,
        "intents": {
            name: {"data": [{"sentences": [f"{label} {{level}} {{area}}", f"do {label}"]}]}
            for name, label in commands.INTENTS.items()
        },
    }

    made = list(commands.rows(data))

    assert made == list(commands.rows(data))
    said = [row["command"] for row in made]
    assert len(said) == len(set(said))
    assert {row["intent"] for row in made} == set(commands.INTENTS.values())
    assert len({row["form"] for row in made}) == 2 * len(commands.INTENTS)
