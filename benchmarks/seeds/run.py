"""Climb on real tasks with a real small language model, one rung after another, each with its verdicts.

    python benchmarks/seeds/run.py                        # all rungs; results.json and README.md follow
    python benchmarks/seeds/run.py --only a --only c      # some of them; the others' figures stay
    python benchmarks/seeds/run.py --table                # write README.md's table from results.json, and climb nothing
    python benchmarks/seeds/run.py --share 0.1 --output look.json --work look     # a look at how it goes

Needs the extras `local`, `embed` and `knowledge`, the model (`ratchet models add smollm2`) and the real sets in ../shared/data. A
task is a workspace below --work: killed and run again it goes on, and every `ratchet` command works in it.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.seeds import practices, rungs  # noqa: E402 - found by the line above
from benchmarks.seeds.ladders import Setting  # noqa: E402
from benchmarks.seeds.results import (  # noqa: E402
    RungResult,
    Stage,
    load_results,
    merge_results,
    render_table,
    update_readme,
)

from ratchet import RatchetError  # noqa: E402


@dataclass(frozen=True)
class Rung:
    """What a rung is about, what was hoped for, and how it is climbed."""

    title: str
    goal: str
    climb: Callable[[Setting], rungs.Told]


RUNGS = {
    "a": Rung(
        "banking77, eight intents that were drawn",
        "38 points forced where free answers get 2.5, 1/20 of the tokens, 1/10 of the time; LoRA 95.",
        rungs.climb_banking8,
    ),
    "a2": Rung(
        "banking77, the first eight intents of the file",
        "the same, where intents are near to each other.",
        rungs.climb_first8,
    ),
    "b": Rung(
        "banking77, all 77 intents",
        "LoRA 85, without the list of labels in its prompt.",
        rungs.climb_banking77,
    ),
    "c": Rung(
        "personal data in Presidio's messages, by a tool call",
        "micro F1 60 on templates never seen.",
        rungs.climb_personal_data,
    ),
    "d": Rung(
        "prices of products",
        "a number each time, and how it stands beside ridge regression.",
        rungs.climb_prices,
    ),
    "e": Rung(
        "A/B of two prompts, thirty runs each",
        "what verdict such repeats really give.",
        practices.compare_prompts,
    ),
    "f": Rung(
        "few-shot from the model's own right answers",
        "demonstrations proven better.",
        practices.climb_bootstrap,
    ),
    "g": Rung(
        "passages of Insurellm's documents",
        "passages, then reranked ones, proven better.",
        practices.climb_passages,
    ),
    "h": Rung(
        "text to SQL on Spider",
        "a fine-tune proven better than its base.",
        rungs.climb_sql,
    ),
    "i": Rung(
        "distillation, eight intents",
        "what demonstrations bring, without them.",
        practices.distil,
    ),
    "j": Rung(
        "what the fine-tunes forgot",
        "said, whatever it is.",
        practices.measure_forgetting,
    ),
    "k": Rung(
        "a fine-tune against a larger prompt, 77 intents",
        "better at a tenth of the tokens.",
        practices.compare_with_larger_prompt,
    ),
}


def climb_rung(name: str, setting: Setting, output: Path) -> None:
    """Climb one rung and merge what it came to; a rung that ends in an error is in the table too."""
    rung = RUNGS[name]
    started = time.monotonic()
    try:
        stages, notes = rung.climb(setting)
    except RatchetError as error:
        stages, notes = [Stage(what=rung.title, note=f"did not work: {error}")], []
    result = RungResult(
        title=rung.title,
        goal=rung.goal,
        model=setting.model,
        date=time.strftime("%Y-%m-%d"),
        stages=tuple(stages),
        notes=tuple(notes),
    )
    merge_results(output, name, result, list(RUNGS))
    print(f"{name}: {rung.title}, {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    """Climb what is named, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=list(RUNGS), help="Some rungs alone.")
    parser.add_argument("--model", default="local:smollm2", help="The small model.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=Path("seeds"), help="Holds the workspaces.")
    parser.add_argument("--share", type=float, default=1.0, help="Of the examples of each rung.")
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    parser.add_argument("--table", action="store_true", help="Write the table alone.")
    given = parser.parse_args()
    if not given.table:
        if not given.data.is_dir():
            parser.exit(2, f"there is no folder {given.data}; name the real sets with --data\n")
        given.work.mkdir(parents=True, exist_ok=True)
        setting = Setting(
            data=given.data.resolve(),
            work=given.work.resolve(),
            model=given.model,
            share=given.share,
        )
        for name in given.only or list(RUNGS):
            climb_rung(name, setting, given.output)
    found = load_results(given.output)
    titles = {name: rung.title for name, rung in RUNGS.items()}
    table = render_table(found, titles)
    if given.output == HERE / "results.json":
        update_readme(HERE / "README.md", table, found)
    else:
        print(table)


if __name__ == "__main__":
    main()
