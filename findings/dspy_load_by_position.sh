#!/usr/bin/env bash
# DSPy saves a signature's fields without name, role or type, and loads them by position:
# descriptions land on other fields.
# Expected: a saved program is matched to the fields by name, or refused where order or number of
# fields differ.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check dspy==3.4.1

cd "$folder"
DSPY_CACHEDIR="$folder/cache" "$folder/venv/bin/python" - <<'PYTHON'
import json
from pathlib import Path

import dspy


class Saved(dspy.Signature):
    """Choose the queue."""

    ticket: str = dspy.InputField(desc="what the customer wrote")
    history: str = dspy.InputField(desc="earlier tickets")
    queue: str = dspy.OutputField(desc="billing or technical")


class Wider(dspy.Signature):
    """Choose the queue."""

    language: str = dspy.InputField(desc="language of the ticket")
    ticket: str = dspy.InputField(desc="what the customer wrote")
    history: str = dspy.InputField(desc="earlier tickets")
    queue: str = dspy.OutputField(desc="billing or technical")


def search(query: str) -> str:
    """Search."""
    return query


print("dspy", dspy.__version__)
print("Only prefix and description are saved; an agent's trajectory looks like an output:")
dspy.ReAct("question -> answer", tools=[search]).save("agent.json")
agent = json.loads(Path("agent.json").read_text())["react"]["signature"]["fields"]
for field in agent:
    print("  saved:", field)
if {key for field in agent for key in field} != {"prefix", "description"}:
    raise SystemExit("changed: more is saved of a field")

print("Loaded where a new input stands first, each description lands on the neighbour, silently:")
dspy.Predict(Saved).save("program.json")
program = dspy.Predict(Wider)
program.load("program.json")
inputs = dict.fromkeys(program.signature.input_fields, "x")
request = dspy.ChatAdapter().format(program.signature, [], inputs)[0]["content"].splitlines()
sent = [line for line in request if line[:2] in ("1.", "2.", "3.")][:3]
for line in sent:
    print("  sent:", line)
if sent[0] != "1. `language` (str): what the customer wrote" or "billing" not in sent[2]:
    raise SystemExit("changed: fields are not matched by position")
PYTHON
