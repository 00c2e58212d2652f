#!/usr/bin/env bash
# pydantic over the request types of openai and anthropic accepts wrong messages, and a checked
# request can be read once only.
# Expected: TypeAdapter(...).validate_python raises for a message of an unknown role, and what it
# returns is a plain request.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
  pydantic==2.14.3 openai==3.54.0 anthropic==2.14.0

"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as Anthropic
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as OpenAI
from pydantic import TypeAdapter, ValidationError

MESSAGES = {
    "an unknown role": {"role": "nobody", "content": "Hi"},
    "an unknown content part": {"role": "user", "content": [{"type": "hologram"}]},
    "a right message": {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
}


def find_depth_of_error(request: dict) -> str:
    """Return where walking the request first raises, if anywhere."""
    try:
        messages = list(request["messages"])
    except ValidationError:
        return "refused when the messages are walked"
    try:
        for message in messages:
            list(message["content"])
    except ValidationError:
        return "refused when the parts of each message are walked"
    return f"good; walked again: {list(request['messages'])}"


print(*(f"{name} {version(name)}" for name in ("pydantic", "openai", "anthropic")))
print("Validation passes all; errors come where an iterable inside is walked, which uses it up:")
seen = []
adapters = {"openai": TypeAdapter(OpenAI), "anthropic": TypeAdapter(Anthropic)}
for library, adapter in adapters.items():
    for what, message in MESSAGES.items():
        request = {"model": "any", "max_tokens": 9, "messages": [message]}
        checked = adapter.validate_python(request)
        seen.append(find_depth_of_error(checked))
        print(f"  {library}, {what}: validate_python passes; {seen[-1]}")
wanted = ["refused when the messages", "refused when the parts", "good; walked again: []"]
if not all(text.startswith(start) for text, start in zip(seen, wanted * 2, strict=True)):
    raise SystemExit("changed")
PYTHON
