"""Write down what promptfoo does with the suites of `promptfoo_suites.json`, with its echo provider.

python tests/exchange/observe_promptfoo.py /path/to/node_modules/.bin/promptfoo

Run it by hand when another version of promptfoo is to be compared with; the tests read the tables alone.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

TABLE = Path(__file__).with_name("promptfoo_suites.json")


def observe(program, files):
    """Return what a suite's prompts become, with the assertions of each test."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(text.encode())
        command = [program, "eval", "-c", "promptfooconfig.yaml", "--no-cache", "--no-progress-bar"]
        subprocess.run([*command, "--no-table", "-o", "out.json"], cwd=folder, capture_output=True)
        results = json.loads((folder / "out.json").read_text("utf-8"))["results"]["results"]
    results.sort(key=lambda row: (row["testIdx"], row["promptIdx"]))
    return [
        {
            "sent": row["response"]["output"],
            "assert": row["testCase"]["assert"],
            "score": row["score"],
        }
        for row in results
    ]


if __name__ == "__main__":
    suites = json.loads(TABLE.read_text("utf-8"))
    for suite in suites:
        suite["seen"] = observe(sys.argv[1], suite["files"])
    TABLE.write_text(json.dumps(suites, indent=1) + "\n", "utf-8")
