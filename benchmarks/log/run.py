"""Requests of which the database refuses some, logged by processes that are killed: each answered one is in the log once, or in the file of refused ones.

    python benchmarks/log/run.py --url sqlite:////tmp/log.db --folder /tmp/log [--requests 100000] [--kills 25]
    python benchmarks/log/run.py --url postgresql+psycopg://postgres@127.0.0.1/log --folder /tmp/log

The database must be empty. A process logs until it is killed at a random moment (SIGKILL), the next goes on; the last ends by itself.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from ratchet.store import open_database
from ratchet.store.request_writer import REFUSED_FILE, RequestWriter
from ratchet.store.tables import bodies, requests

HERE = Path(__file__).resolve().parent
TRIGGERS = {
    "sqlite": [
        "CREATE TRIGGER refuse BEFORE INSERT ON requests WHEN NEW.end_user = 'refused' BEGIN SELECT RAISE(ABORT, 'no such user'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN IF NEW.end_user = 'refused' THEN RAISE EXCEPTION 'no such user'; END IF; RETURN NEW; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER refuse BEFORE INSERT ON requests FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
}
"""What makes a database refuse a request."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Where the answered requests are."""

    answered: int
    kills: int
    logged: int
    """Different ids in the log."""
    twice: int
    """Ids that are in the log, or in the file of refused ones, more than once, or in both."""
    refused: int
    missing: int
    """Answered requests that are nowhere."""
    left: int
    """Files of requests that are still beside the database."""
    seconds: float


def refuse_some(engine: sa.Engine) -> None:
    """Let the database refuse the requests of one end user."""
    with engine.begin() as connection:
        for statement in TRIGGERS[engine.dialect.name]:
            connection.exec_driver_sql(statement)


def run(url: str, folder: Path, *, count: int, kills: int, rng: random.Random) -> Outcome:
    """Log `count` requests by processes of which `kills` are killed, and look where they are."""
    engine = open_database(url)
    refuse_some(engine)
    answered: list[int] = []
    started = time.monotonic()
    for kill in range(kills + 1):
        left = count - len(answered)
        stop = None if kill == kills else rng.uniform(0.3, 1.7) * left / (kills + 1 - kill)
        answered += log_until(url, folder, len(answered), left, stop)
    with RequestWriter(engine, folder=folder):
        pass  # who starts next writes what the killed ones left
    return look(engine, folder, answered, kills=kills, seconds=time.monotonic() - started)


def log_until(url: str, folder: Path, first: int, count: int, stop: float | None) -> list[int]:
    """Return the numbers of the requests that a process answered before it ended, or was killed after `stop` of them."""
    command = [sys.executable, str(HERE / "appender.py"), url, str(folder), str(first), str(count)]
    answered: list[int] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # a pipe
        for line in process.stdout:
            answered.append(int(line))
            if stop is not None and len(answered) >= stop:
                process.kill()
                stop = None
    # what was answered between the word and the kill is in the pipe, and was read
    return answered


def look(
    engine: sa.Engine, folder: Path, answered: list[int], *, kills: int, seconds: float
) -> Outcome:
    """Return where the requests are."""
    with engine.connect() as connection:
        ids = [str(one) for one in connection.scalars(sa.select(requests.c.id))]
        with_body = set(connection.scalars(sa.select(bodies.c.request_id)))
    engine.dispose()
    path = folder / REFUSED_FILE
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    refused = [str(json.loads(line)["figures"]["id"]) for line in lines]
    places = Counter([*(one for one in ids if one in with_body), *refused])
    wanted = {f"chatcmpl-{number:08d}" for number in answered}
    return Outcome(
        answered=len(wanted),
        kills=kills,
        logged=len(set(ids)),
        twice=sum(times > 1 for times in places.values()),
        refused=len(refused),
        missing=len(wanted - set(places)),
        left=len(list((folder / "spool").glob("*.spool"))) if folder.exists() else 0,
        seconds=round(seconds, 1),
    )


def main() -> None:
    """Print where the requests are; exit with 1 if one is missing or there twice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    outcome = run(
        given.url,
        given.folder,
        count=given.requests,
        kills=given.kills,
        rng=random.Random(given.seed),
    )
    print(outcome)
    sys.exit(bool(outcome.missing or outcome.twice or outcome.left))


if __name__ == "__main__":
    main()
