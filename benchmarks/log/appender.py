"""A process that logs requests until it is killed: each id goes to standard output once its reply could end.

python benchmarks/log/appender.py URL FOLDER FIRST COUNT
"""

import os
import sys
from pathlib import Path

from ratchet.store import open_database
from ratchet.store.request_writer import RequestWriter
from ratchet.store.requests import LoggedRequest

BAD = 100
"""One request in so many is one that the database refuses."""


def request(number: int) -> LoggedRequest:
    """Return a request; its end user says whether the database refuses it."""
    return LoggedRequest(
        id=f"chatcmpl-{number:08d}",
        at=1.0 + number,
        model="local:one",
        candidate_id=None,
        status=200,
        problem=None,
        streamed=False,
        end_user="refused" if number % BAD == 0 else None,
        prompt_tokens=12,
        completion_tokens=3,
        cost_usd=0.0,
        latency_s=0.1,
        body={"request": {"messages": [{"role": "user", "content": f"number {number}"}]}},
    )


def main() -> None:
    """Log requests; after each, its number is on standard output: its reply has ended."""
    url, folder, first, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    engine = open_database(url)
    with RequestWriter(engine, folder=folder) as writer:
        for number in range(first, first + count):
            writer.add(request(number))
            os.write(1, b"%d\n" % number)
    engine.dispose()


if __name__ == "__main__":
    main()
