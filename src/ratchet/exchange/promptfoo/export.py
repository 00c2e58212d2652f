"""A candidate with its task's examples as a promptfoo configuration, which promptfoo runs as it is."""

import json
from collections.abc import Sequence

import yaml

from ratchet.core import Candidate, Example, Json, Task
from ratchet.core.errors import CandidateError
from ratchet.exchange.losses import Losses
from ratchet.exchange.promptfoo.providers import Endpoint, known_base_url
from ratchet.exchange.prompts import field_messages

__all__ = ["promptfoo_files"]

_COMPARED = {"exact": "equals", "match": "icontains", "label": "icontains"}
"""Metrics with an assertion that says about the same."""
_CALLS = {"openai": "chat:", "anthropic": "messages:", "ollama": "chat:", "localai": "chat:"}
"""What stands between a platform and a model."""
_GATEWAY = "http://127.0.0.1:8100/v1"
"""Where `ratchet serve` listens."""
_OURS_ALONE = ("python", "grader", "rouge-l", "fuzzy-match")
_OPEN, _CLOSE, _START = "\ue000", "\ue001", "\ue002"
"""Stand for braces in a value, and before one that would be read as a file: promptfoo fills in fields of values again and again."""
_MARKS = ("{{", "{%", "{#")


def promptfoo_files(
    task: Task,
    candidate: Candidate,
    examples: Sequence[Example],
    losses: Losses | None = None,
    *,
    endpoint: Endpoint | None = None,
) -> dict[str, str]:
    """Return the files of a configuration: prompts, provider and, in a file of their own, tests.

    Args:
        task: What is answered; its metric says what is asserted.
        candidate: What is sent.
        examples: The tests, in this order.
        losses: Takes what promptfoo has no equal for.
        endpoint: Where the candidate's model is asked, as `ratchet.toml` has it.
    Raises: CandidateError if what is sent depends on the input in another way than by its text, or shows tool calls.
    """
    noted = losses if losses is not None else Losses()
    encoded = any(_is_encoded(_text(v)) for e in examples for v in e.inputs.values())
    decoded = f' | replace("{_OPEN}", "{{") | replace("{_CLOSE}", "}}") | replace("{_START}", "")'
    decoded = decoded if encoded else ""
    messages, rest = field_messages(
        task, candidate, lambda name: f"{{{{ {name}{decoded} }}}}", _raw
    )
    if any("tool_calls" in message for message in messages):
        raise CandidateError(
            f"candidate {candidate.id} shows tool calls, which promptfoo's prompts cannot hold; export --to openai"
        )
    config: dict[str, Json] = {
        "description": task.instructions,
        "prompts": ["file://prompt.json"],
        "providers": [_provider(candidate, rest, endpoint)],
        "tests": "file://tests.json",
    }
    tests = [_test(task, example, noted) for example in examples]
    return {
        "promptfooconfig.yaml": yaml.safe_dump(config, allow_unicode=True, sort_keys=False),
        "prompt.json": json.dumps(messages, indent=2, ensure_ascii=False) + "\n",
        "tests.json": json.dumps(tests, indent=2, ensure_ascii=False) + "\n",
    }


def _raw(text: str) -> str:
    """Return text that Nunjucks writes as it is: with marks of its own in it, as a literal."""
    if not _is_encoded(text):
        return text
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    literal = "".join(escapes.get(letter, letter) for letter in text)
    return f'{{{{ "{literal}" }}}}'


def _is_encoded(text: str) -> bool:
    return text.startswith("file://") or any(mark in text for mark in _MARKS)


def _encode(text: str) -> str:
    """Return a value that promptfoo sends as it is: it cuts a line break at the end, fills in fields, and reads files."""
    if _is_encoded(text):
        text = _START + text.replace("{", _OPEN).replace("}", _CLOSE)
    return f"{text}\n" if text.endswith("\n") else text


def _provider(
    candidate: Candidate, rest: dict[str, Json], endpoint: Endpoint | None
) -> dict[str, Json]:
    """Return the provider with its settings: by promptfoo's own name, or by the address of the endpoint."""
    names = ("temperature", "top_p", "max_tokens", "tools", "response_format")
    config: dict[str, Json] = {name: rest[name] for name in names if name in rest}
    if candidate.model.startswith("local:"):  # asked through Ratchet's own gateway
        return {
            "id": f"openai:chat:{candidate.model}",
            "config": {**config, "apiBaseUrl": _GATEWAY},
        }
    platform, _, model = candidate.model.partition("/")
    own = known_base_url(platform)
    if own is not None and (endpoint is None or endpoint.base_url == own):
        kind = _CALLS.get(platform, "")
        return _with_config(f"{platform}:{kind}{model}", config)
    if endpoint is not None:
        config["apiBaseUrl"] = endpoint.base_url
        if endpoint.key_env:
            config["apiKeyEnvar"] = endpoint.key_env
    return _with_config(f"openai:chat:{model}", config)


def _with_config(name: str, config: dict[str, Json]) -> dict[str, Json]:
    return {"id": name, **({"config": config} if config else {})}


def _test(task: Task, example: Example, losses: Losses) -> dict[str, Json]:
    where = example.name or example.source or example.id
    values = {name: _encode(_text(example.inputs.get(name))) for name in task.input_names}
    test: dict[str, Json] = {
        "vars": values,
        "options": {"disableVarExpansion": True},
        "assert": _assertions(task, example, where, losses),
    }
    if example.name:
        test["description"] = example.name
    return test


def _text(value: Json) -> str:
    """Return an input as our templates write it."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _assertions(task: Task, example: Example, where: str, losses: Losses) -> list[dict[str, Json]]:
    metric, reference = task.metric.name, example.reference
    if metric == "assertions" and isinstance(reference, list):
        return [kept for one in reference for kept in _exported(one, where, losses)]
    if metric == "judge":
        rubric = str(task.metric.options.get("rubric", ""))
        return [{"type": "llm-rubric", "value": _raw(rubric)}] if rubric else []
    if isinstance(reference, dict | list) and metric == "fields":
        return [{"type": "equals", "value": reference}]
    kind = _COMPARED.get(metric)
    if kind is None:
        losses.add(f"metric {metric}: tests are written with the reference to be equalled", where)
    elif kind != "equals":
        losses.add(f"metric {metric}: written as {kind}, which is not quite the same", where)
    value = reference if isinstance(reference, dict | list) else _raw(_text(reference))
    return [{"type": kind or "equals", "value": value}]


def _exported(assertion: dict[str, Json], where: str, losses: Losses) -> list[dict[str, Json]]:
    kind = str(assertion["type"])
    if kind == "assert-set":
        inner = [kept for one in assertion["assert"] for kept in _exported(one, where, losses)]
        return [{**assertion, "assert": inner}] if inner else []
    if kind.removeprefix("not-") in _OURS_ALONE or "input" in assertion:
        losses.add(f"assertion {kind}", where)
        return []
    return [
        {**assertion, "value": _raw_parts(assertion["value"])}
        if "value" in assertion
        else assertion
    ]


def _raw_parts(value: Json) -> Json:
    if isinstance(value, str):
        return _raw(value)
    return [_raw_parts(part) for part in value] if isinstance(value, list) else value
