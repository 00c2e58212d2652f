"""Write the chats by which it is seen what a fine-tune of `local:nano` forgets, and those that may be mixed in against it.

    python -m nano.probes        # src/ratchet/models/nano/probes.jsonl and replay.jsonl

Both are drawn from the base's own practice; no chat stands in both files.
"""

import json
from random import Random

from nano.abilities import ABILITIES, Chat, draw
from ratchet.models import NANO

PROBES, REPLAY = 30, 400
SEEDS = (404, 505)


def plain(chat: Chat, **more: object) -> dict[str, object]:
    """Return a line of a file."""
    return {**more, "messages": chat.messages, **({"tools": chat.tools} if chat.tools else {})}


def main() -> None:
    probes = [
        plain(make(rng), ability=name)
        for name, (make, _) in ABILITIES.items()
        for rng in [Random(f"{SEEDS[0]} {name}")]
        for _ in range(PROBES)
    ]
    known = {json.dumps(probe["messages"]) for probe in probes}
    rng = Random(SEEDS[1])
    replay = [
        line
        for line in (plain(draw(rng)) for _ in range(REPLAY))
        if json.dumps(line["messages"]) not in known
    ]
    for name, lines in (("probes", probes), ("replay", replay)):
        text = "".join(
            json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines
        )
        (NANO / f"{name}.jsonl").write_text(text, "utf-8")
        print(f"{name}: {len(lines)} chats, {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
