"""Score `local:nano` ability by ability over three seeds, and write the figures into its model card.

    python -m nano.evaluate                                  # prints the table
    python -m nano.evaluate --card src/ratchet/models/nano   # and writes README.md there
    python -m nano.evaluate --adapter .ratchet/adapters/a_…  # of a fine-tune: what it forgot

An answer counts when it is the wanted one to the letter (tool calls: the same name and arguments). Decoding is greedy and
free: nothing is forced into a schema here.
"""

import argparse
import asyncio
import json
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

from nano.abilities import (
    ABILITIES,
    HELD_OUT_KEYS,
    Chat,
    demos,
    extract,
    fact,
    labels,
    schema,
    tool,
)
from ratchet.models import NANO, ChatReply, ChatRequest
from ratchet.models.local import LocalModel

SEEDS = (101, 202, 303)
Make = Callable[[Random], Chat]
STRUCTURE = [
    "messages",
    "tools",
    "role",
    "content",
    "system",
    "user",
    "assistant",
    "tool_calls",
    "type",
    "function",
    "name",
    "arguments",
    "parameters",
    "properties",
    "required",
    "object",
    "array",
    "items",
    "string",
    "enum",
]
"""Words of the chat format itself, which renaming must leave alone."""


def without_shots(chat: Chat) -> Chat:
    """Return the chat with its last question alone."""
    system = [m for m in chat.messages if m["role"] == "system"]
    return replace(chat, messages=[*system, *chat.messages[-2:]])


def shown(make: Make, count: int) -> Make:
    """Return a maker of chats with exactly `count` demonstrations as earlier turns, the question the same for every count."""

    def made(rng: Random) -> Chat:
        while True:
            chat = make(rng)
            turns = [m for m in chat.messages if m["role"] != "system"]
            if len(turns) == 2 * 5:
                system = [m for m in chat.messages if m["role"] == "system"]
                return replace(chat, messages=[*system, *turns[2 * (4 - count) :]])

    return made


def without_passages(rng: Random) -> Chat:
    """Return a question over a fact with no passage to find it in."""
    _, _, question, answer = fact(rng)
    return Chat(
        messages=[{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    )


def with_held_out_keys(make: Make) -> Make:
    """Return a maker whose key and tool names are ones that no training text used."""

    def made(rng: Random) -> Chat:
        chat = make(rng)
        text = json.dumps({"messages": chat.messages, "tools": chat.tools})
        names = schema_names(chat)
        fresh = rng.sample(sorted(HELD_OUT_KEYS), min(len(names), len(HELD_OUT_KEYS)))
        for old, new in zip(names, fresh, strict=False):
            text = text.replace(old, new)
        body = json.loads(text)
        return Chat(messages=body["messages"], tools=body["tools"])

    return made


def schema_names(chat: Chat) -> list[str]:
    """Return the tool's and the answer's key names, longest first, so that none is replaced inside another."""
    found: set[str] = set()
    for definition in chat.tools:
        found |= {
            definition["function"]["name"],
            *keys_of(definition["function"]["parameters"].get("properties", {})),
        }
    if not chat.tools:
        body = json.loads(chat.answer["content"])
        item = body[0] if isinstance(body, list) and body else body
        found |= set(item) if isinstance(item, dict) else set()
    usable = (name for name in found if len(name) > 3 and not any(name in w for w in STRUCTURE))
    return sorted(usable, key=len, reverse=True)


def keys_of(properties: dict[str, dict[str, object]]) -> set[str]:
    names = set(properties)
    for part in properties.values():
        items = part.get("items")
        if isinstance(items, dict):
            names |= set(items.get("properties", {}))
    return names


PROBES: dict[str, Make] = {
    **{name: make for name, (make, _) in ABILITIES.items()},
    "facts, passages taken away": without_passages,
    "schema, keys never seen": with_held_out_keys(schema),
    "tool, names never seen": with_held_out_keys(tool),
    "extract, names never seen": with_held_out_keys(extract),
    **{f"demos, {count} shown": shown(demos, count) for count in (0, 1, 2, 4)},
    **{f"labels, {count} shown": shown(labels, count) for count in (0, 1, 2, 4)},
}


async def score(
    model: LocalModel, make: Make, *, seed: int, count: int, adapter: str | None
) -> float:
    """Return the share of chats that are answered to the letter."""
    rng = Random(seed)
    chats = [make(rng) for _ in range(count)]
    requests = [
        ChatRequest(
            messages=c.messages[:-1], tools=c.tools or None, max_tokens=200, adapter=adapter
        )
        for c in chats
    ]
    replies = await asyncio.gather(*(model.chat(request) for request in requests))
    return statistics.fmean(is_right(c.answer, r) for c, r in zip(chats, replies, strict=True))


def is_right(wanted: dict[str, object], reply: ChatReply) -> bool:
    calls = wanted.get("tool_calls")
    if not calls:
        return reply.text == wanted["content"]
    function = calls[0]["function"]  # type: ignore[index]  # an OpenAI message
    return bool(reply.tool_calls) and (reply.tool_calls[0].name, reply.tool_calls[0].arguments) == (
        function["name"],
        function["arguments"],
    )


async def table(
    folder: Path, *, count: int, adapter: Path | None, probes: list[str]
) -> dict[str, tuple[float, float]]:
    """Return mean and half the range over the seeds for each probe."""
    model = LocalModel("local:nano", folder, adapters=adapter.parent if adapter else None)
    rows = {}
    for name in probes:
        found = [
            await score(
                model, PROBES[name], seed=s, count=count, adapter=adapter.name if adapter else None
            )
            for s in SEEDS
        ]
        rows[name] = (statistics.fmean(found), (max(found) - min(found)) / 2)
        print(f"| {name} | {rows[name][0]:.2f} | ± {rows[name][1]:.2f} |", flush=True)
    await model.close()
    return rows


def write_card(folder: Path, rows: dict[str, tuple[float, float]], count: int) -> None:
    """Replace the figures between the marks of the model card."""
    card = folder / "README.md"
    head, _, rest = card.read_text("utf-8").partition("<!-- figures -->")
    tail = rest.partition("<!-- end of figures -->")[2]
    lines = [f"| {name} | {mean:.2f} | ± {half:.2f} |" for name, (mean, half) in rows.items()]
    body = [
        f"\nShare answered to the letter, mean and half the range over seeds {SEEDS}, {count} chats a seed.\n",
        "| ability | share | |",
        "|---|---|---|",
        *lines,
        "",
    ]
    card.write_text(
        head + "<!-- figures -->" + "\n".join(body) + "<!-- end of figures -->" + tail, "utf-8"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=NANO)
    parser.add_argument("--card", type=Path, help="the folder whose README.md gets the figures")
    parser.add_argument("--adapter", type=Path, help="a LoRA adapter to score instead of the base")
    parser.add_argument("--count", type=int, default=100, help="chats a seed and ability")
    parser.add_argument("--only", nargs="*", default=list(PROBES))
    given = parser.parse_args()
    rows = asyncio.run(
        table(given.model, count=given.count, adapter=given.adapter, probes=given.only)
    )
    if given.card:
        write_card(given.card, rows, given.count)


if __name__ == "__main__":
    main()
