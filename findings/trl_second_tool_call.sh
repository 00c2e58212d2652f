#!/usr/bin/env bash
# trl's template of gpt-oss drops the second of two parallel calls and gives its result to the
# first; trl calls it tool-ready.
# Expected: both calls stand in the training text, or an error says that one call a message is the
# limit.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
  transformers==5.23.0 tokenizers==0.23.3 datasets==5.2.0 pyarrow==26.0.1 jinja2==3.1.6
"$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps trl==1.16.0

TRANSFORMERS_NO_ADVISORY_WARNINGS=1 "$folder/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import transformers
import trl
from tokenizers import Tokenizer, models
from trl.chat_template_utils import supports_tool_calling

words = Tokenizer(models.WordLevel({"x": 0}, unk_token="x"))
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="x")
parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
tools = [
    {"type": "function", "function": {"name": n, "description": n, "parameters": parameters}}
    for n in ("weather", "clock")
]
calls = [
    {"id": n, "type": "function", "function": {"name": n, "arguments": {"city": city}}}
    for n, city in (("weather", "Oslo"), ("clock", "Rome"))
]
messages = [
    {"role": "user", "content": "Weather in Oslo and time in Rome?"},
    {"role": "assistant", "content": "", "tool_calls": calls},
    {"role": "tool", "tool_call_id": "weather", "name": "weather", "content": "rain"},
    {"role": "tool", "tool_call_id": "clock", "name": "clock", "content": "noon"},
]

print("trl", trl.__version__, "transformers", transformers.__version__)
print("After two parallel calls, weather and clock, the training text of gpt-oss goes on:")
for name in ("gptoss_training", "qwen3_training"):
    path = Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja"
    tokenizer.chat_template = path.read_text()
    text = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
    ready = supports_tool_calling(tokenizer)
    print(f"{name} (supports_tool_calling: {ready}):", text[text.index("in Rome?") :], sep="\n")
    has_both = '"Rome"' in text
    if not ready or has_both != (name == "qwen3_training"):
        raise SystemExit(f"changed: {name}, second call in the text: {has_both}")
    noon = 'functions.weather to=assistant<|channel|>commentary<|message|>"noon"'
    if not has_both and noon not in text:
        raise SystemExit("changed: the second result is not given to the first function")
PYTHON
