"""Tokens a second of a local model: this source tree, the same in float32, another tree, and llama.cpp; in turn, a process each.

python benchmarks/local/run.py                              # local:smollm2, three rounds
python benchmarks/local/run.py --against ../before/src      # beside another version
python benchmarks/local/run.py --llama FOLDER --gguf FILE   # FOLDER holds node_modules/node-llama-cpp
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve()
SOURCE = HERE.parents[2] / "src"
TEXT = "Tell me about the history of the city of Paris and of its river, and name three bridges. "
REPEATS = 4


def prompts(count: int) -> list[str]:
    """Return prompts of slightly different lengths."""
    return [TEXT * REPEATS + "Please. " * (k % 3) + str(k) for k in range(count)]


async def measure(model: str, weights: str | None, count: int, tokens: int) -> dict[str, float]:
    """Return tokens a second of wall time, and of processor time, with the prompts' own pass."""
    from ratchet.models import ChatRequest, ModelPool

    settings = {}
    if weights:
        from ratchet.store import LocalSettings

        settings["local"] = LocalSettings(weights=weights)
    requests = [
        ChatRequest(messages=[{"role": "user", "content": text}], max_tokens=tokens)
        for text in prompts(count)
    ]
    async with ModelPool(**settings) as pool:
        opened = pool.model(model)
        await opened.chat(requests[0])  # loaded
        started, worked = time.perf_counter(), time.process_time()
        replies = await asyncio.gather(*(opened.chat(request) for request in requests))
        wall, work = time.perf_counter() - started, time.process_time() - worked
    made = sum(reply.usage.completion_tokens for reply in replies)
    return {"wall": made / wall, "processor": made / work}


def variants(args: argparse.Namespace) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Yield the name, the command and the environment of each that is measured."""
    own = [
        sys.executable,
        str(HERE),
        "--worker",
        "--count",
        str(args.count),
        "--tokens",
        str(args.tokens),
    ]
    yield "now", [*own, "--model", args.model], {"PYTHONPATH": str(SOURCE)}
    yield (
        "now, float32",
        [*own, "--model", args.model, "--weights", "float32"],
        {"PYTHONPATH": str(SOURCE)},
    )
    if args.against:
        from ratchet.models import local_folder

        folder = local_folder(args.model, Path())
        yield (
            "before",
            [*own, "--model", f"local:{folder}"],
            {"PYTHONPATH": str(args.against.resolve())},
        )
    if args.llama:
        script = [
            "node",
            str(HERE.with_name("llama.mjs")),
            str(args.llama.resolve()),
            str(args.gguf.resolve()),
        ]
        given = [
            str(args.count),
            str(args.tokens),
            str(args.threads),
            json.dumps(prompts(args.count)),
        ]
        yield "llama.cpp", [*script, *given], {}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="local:smollm2")
    parser.add_argument("--weights")
    parser.add_argument("--against", type=Path)
    parser.add_argument("--llama", type=Path)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", action="store_true")
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(asyncio.run(measure(args.model, args.weights, args.count, args.tokens))))
        return
    sys.path.insert(0, str(SOURCE))
    found: dict[str, list[dict[str, float]]] = {}
    for turn in range(args.rounds):
        for name, command, more in variants(args):
            environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), **more}
            done = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True
            )
            one = json.loads(done.stdout.splitlines()[-1])
            found.setdefault(name, []).append(one)
            print(f"round {turn + 1} {name}: {one}", flush=True)
    for name, rounds in found.items():
        median = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        print(
            f"{name}: " + ", ".join(f"{value:.1f} tokens/s {key}" for key, value in median.items())
        )


if __name__ == "__main__":
    main()
