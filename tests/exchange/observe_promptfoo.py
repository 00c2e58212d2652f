"""Write down what promptfoo does with suites, those of `promptfoo_suites.json` and one of our own, with its echo provider.

python tests/exchange/observe_promptfoo.py /path/to/node_modules/.bin/promptfoo

Run it by hand when another version of promptfoo is to be compared with; the tests read the tables alone.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

TABLE = Path(__file__).with_name("promptfoo_suites.json")


def run(program, files, *words):
    """Return the results of a suite, in the order of tests and prompts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(text.encode())
        command = [program, "eval", "-c", "promptfooconfig.yaml", "--no-cache", "--no-progress-bar"]
        subprocess.run(
            [*command, "--no-table", "-o", "out.json", *words],
            cwd=folder,
            capture_output=True,
            check=False,
        )
        results = json.loads((folder / "out.json").read_text("utf-8"))["results"]["results"]
    return sorted(results, key=lambda row: (row["testIdx"], row["promptIdx"]))


def observe(program, files):
    """Return what a suite's prompts become, with the assertions of each test."""
    return [
        {
            "sent": row["response"]["output"],
            "assert": row["testCase"]["assert"],
            "score": row["score"],
        }
        for row in run(program, files)
    ]


def observe_export(program):
    """Return the files of a suite that we wrote, and the messages that promptfoo sends of it."""
    from test_promptfoo_export import build

    files = build()
    rows = run(program, files, "-r", "echo")
    return {"files": files, "sent": [json.loads(row["response"]["output"]) for row in rows]}


if __name__ == "__main__":
    suites = json.loads(TABLE.read_text("utf-8"))
    for suite in suites:
        suite["seen"] = observe(sys.argv[1], suite["files"])
    TABLE.write_text(json.dumps(suites, indent=1) + "\n", "utf-8")
    export = TABLE.with_name("promptfoo_export.json")
    export.write_text(json.dumps(observe_export(sys.argv[1]), indent=1) + "\n", "utf-8")
