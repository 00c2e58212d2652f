"""A folder in which the printed commands can run: the files that they name, and endpoints that answer whatever they are asked."""

import csv
import json
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ratchet.store import find_workspace, load_releases
from ratchet.store.request_writer import RequestWriter
from ratchet.store.requests import LoggedRequest, add_feedback

__all__ = ["answer_anything", "log_request", "write_grades", "write_sandbox"]

TEAMS = ("billing", "technical", "sales")
WORDS = [
    a + b for a in ("ka", "lo", "mi", "ne", "tu", "ra") for b in ("bel", "dor", "fin", "gus", "pol")
]
MESSAGES = 60


def answer_anything(body: Mapping[str, Any]) -> "str | dict[str, Any]":
    """Return a reply of the form that a request asks for; to a ticket its team, if asked with care."""
    form = (body.get("response_format") or {}).get("json_schema")
    if form:
        return json.dumps(value_of_schema(form["schema"], form["schema"].get("$defs", {})))
    text = " ".join(str(message["content"]) for message in body["messages"])
    question = str(body["messages"][-1]["content"])
    teams = [team for team in TEAMS if team in question]
    return teams[0] if teams and "carefully" in text else "billing"


def value_of_schema(schema: Mapping[str, Any], parts: Mapping[str, Any]) -> Any:
    """Return a small value that follows a schema."""
    if "$ref" in schema:
        return value_of_schema(parts[schema["$ref"].rpartition("/")[2]], parts)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    if "anyOf" in schema:
        return value_of_schema(schema["anyOf"][0], parts)
    kind = schema.get("type")
    if kind == "object":
        return {
            name: value_of_schema(part, parts)
            for name, part in schema.get("properties", {}).items()
        }
    if kind == "array":
        count = max(1, schema.get("minItems", 1))
        return [value_of_schema(schema.get("items", {}), parts) for _ in range(count)]
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return {"boolean": True, "null": None}.get(str(kind), "Answer carefully.")


def write_sandbox(folder: Path, url: str) -> None:
    """Write the files that the documents' commands name, and a `ratchet.toml` whose endpoints are all at `url`."""
    write_settings(folder, url)
    write_tables(folder)
    write_prompts(folder)
    write_documents(folder)
    write_suites(folder)


def write_settings(folder: Path, url: str) -> None:
    """Write the settings: each endpoint that the documents name, at a price that is no matter."""
    endpoint = f'base_url = "{url}"\nconcurrency = 8\nretries = 1\nprice = {{ input = 0.0, output = 0.01 }}\n'
    (folder / "ratchet.toml").write_text(
        '[models]\ndefault = "openai/gpt-6-luna"\nteacher = "openai/gpt-6.1-sol"\n\n'
        f"[endpoints.openai]\n{endpoint}\n[endpoints.mine]\n{endpoint}"
    )


def write_tables(folder: Path) -> None:
    """Write tickets in each kind of table that an import of the documents reads."""
    rng = random.Random(0)
    rows = []
    for number in range(MESSAGES):
        team = TEAMS[number % 3]
        words = [*rng.sample(WORDS, 9), team]
        text = " ".join(rng.sample(words, len(words)))
        rows.append({"message": text, "team": team, "conversation_id": f"c{number}"})
    for name in ("tickets.csv", "data.csv", "export.csv", "posts.csv"):
        with (folder / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    chats = [
        {
            "messages": [
                {"role": "user", "content": row["message"]},
                {"role": "assistant", "content": row["team"]},
            ]
        }
        for row in rows
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.create_sheet("2024")
    sheet.append(["post"])
    for row in rows:
        sheet.append([row["message"]])
    book.save(folder / "posts.xlsx")


def write_prompts(folder: Path) -> None:
    """Write the candidates that the documents name."""
    for name, text in {
        "terse.yaml": "Be brief.",
        "long.yaml": "Read the message as a whole, then answer.",
        "new.yaml": "Read carefully.",
        "careful.yaml": "Read carefully.",
    }.items():
        (folder / name).write_text(yaml.safe_dump({"system": text + " {{instructions}}"}))
    for task in ("mytask", "tickets"):
        (folder / "tasks" / task).mkdir(parents=True)
        careful = {"system": "Read the message carefully. {{instructions}}"}
        (folder / "tasks" / task / "careful.yaml").write_text(yaml.safe_dump(careful))
        (folder / "tasks" / task / "short.yaml").write_text(yaml.safe_dump({"system": "One word."}))
    facts = {
        "system": "{{instructions}}",
        "user": "{{#each passages}}{{text}} {{/each}}{{message}}",
        "retrieval": {"knowledge": "handbook", "k": 1, "mode": "lexical"},
    }
    (folder / "facts.yaml").write_text(yaml.safe_dump(facts))
    (folder / "prompts").mkdir()
    (folder / "prompts" / "one.md").write_text("Read carefully. {{instructions}}\n")


def write_documents(folder: Path) -> None:
    """Write the documents of a knowledge base, with judged queries."""
    (folder / "docs").mkdir()
    for name, text in {
        "leave": "Leave is thirty days a year.",
        "pay": "Pay comes on the last day of the month.",
        "desk": "A desk is for whoever sits at it.",
    }.items():
        (folder / "docs" / f"{name}.md").write_text(f"# {name}\n\n{text}\n")
    judged = {"query": "how long is leave?", "relevant": ["docs/leave.md"]}
    (folder / "judged.jsonl").write_text(json.dumps(judged) + "\n")


def write_suites(folder: Path) -> None:
    """Write the files of other programs, as those write them."""
    capitals = {"France": "Paris", "Peru": "Lima", "Japan": "Tokyo", "Chile": "Santiago"}
    tests = [
        {"vars": {"country": country}, "assert": [{"type": "contains", "value": capital}]}
        for country, capital in capitals.items()
    ]
    suite = {
        "prompts": ["The capital of {{country}}?"],
        "providers": ["openai:gpt-6-luna"],
        "tests": tests,
    }
    for name in ("promptfooconfig.yaml", "config.yaml"):
        (folder / name).write_text(yaml.safe_dump(suite))
    criterion = {
        "type": "string_check",
        "name": "same",
        "operation": "eq",
        "input": "{{sample.output_text}}",
        "reference": "{{item.capital}}",
    }
    items = [{"item": {"country": a, "capital": b}} for a, b in capitals.items()]
    source = {
        "type": "completions",
        "source": {"type": "file_content", "content": items},
        "input_messages": {
            "type": "template",
            "template": [{"role": "user", "content": "The capital of {{item.country}}?"}],
        },
        "model": "gpt-6-luna",
    }
    evals = {
        "object": "eval",
        "id": "eval_1",
        "name": "Capitals",
        "data_source_config": {"type": "custom", "schema": {"type": "object"}},
        "testing_criteria": [criterion],
    }
    run = {
        "object": "eval.run",
        "id": "run_1",
        "eval_id": "eval_1",
        "name": "short",
        "model": "gpt-6-luna",
        "data_source": source,
    }
    (folder / "eval.json").write_text(json.dumps(evals))
    (folder / "run.json").write_text(json.dumps(run))


def write_grades(folder: Path, trials: Sequence[Mapping[str, Any]]) -> None:
    """Write grades of a person for stored answers, as `ratchet trials --json` gives these."""
    with (folder / "grades.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["example", "grade"])
        for number, trial in enumerate(trials):
            writer.writerow([trial["example"], ("pass", "fail")[number % 2]])


def log_request(folder: Path, release: str) -> None:
    """Log a request to a release as the server does, with a person's word that its reply was right."""
    engine = find_workspace(folder).database
    candidate = load_releases(engine, release)[-1].candidate
    reply = {"text": "billing", "tool_calls": [], "finish_reason": "stop"}
    request = LoggedRequest(
        id="chatcmpl-1",
        at=time.time(),
        model=release,
        candidate_id=candidate.id,
        status=200,
        problem=None,
        streamed=False,
        end_user=None,
        prompt_tokens=1,
        completion_tokens=1,
        cost_usd=0.0,
        latency_s=0.1,
        body={"inputs": {"message": "the billing of the year"}, "replies": [reply]},
    )
    with RequestWriter(engine) as writer:
        writer.add(request)
    add_feedback(engine, "fb-1", request.id, request.at, {"thumb": "up"})
