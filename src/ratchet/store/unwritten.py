"""Answers that are paid for and that the database had no room for: kept in files beside it, which whoever opens the workspace next takes in."""

import fcntl
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from secrets import token_hex

import orjson
import sqlalchemy as sa

from ratchet.core.errors import StoreError
from ratchet.store.database import add_rows, transaction
from ratchet.store.faults import fault_of
from ratchet.store.request_spool import append_durably
from ratchet.store.tables import passages, scores, trials

__all__ = [
    "UNWRITTEN_FOLDER",
    "StoredAnswer",
    "give_room_back",
    "keep_unwritten",
    "put_by_room",
    "take_in_unwritten",
    "write_all",
    "write_answers",
]

StoredAnswer = Mapping[str, Sequence[Mapping[str, object]]]
"""The rows that belong to one answer, by the name of their table: what is written together or not at all."""
TABLES = (trials, passages, scores)
UNWRITTEN_FOLDER = "unwritten"
RESERVE, RESERVE_BYTES = "reserve", 4 * 2**20
log = logging.getLogger("ratchet")


def write_answers(engine: sa.Engine, answers: Sequence[StoredAnswer]) -> None:
    """Write answers in one transaction; what is there already stays as it is.

    Raises: StoreError if they cannot be written, and then none is.
    """
    with transaction(engine) as connection:
        for table in TABLES:
            add_rows(connection, table, [row for one in answers for row in one.get(table.name, ())])


def write_all(
    write: Callable[[Sequence[StoredAnswer]], None], answers: Sequence[StoredAnswer]
) -> tuple[list[StoredAnswer], Exception | None]:
    """Write answers; where some are refused for what is in them, all the others.

    Returns: those that are left, and why the last of them is.
    """
    try:
        write(answers)
    except Exception as error:  # noqa: BLE001 - whatever it is, they are paid for and given back
        if fault_of(error) != "row" or len(answers) == 1:
            return list(answers), error
    else:
        return [], None
    half = len(answers) // 2
    left, why = write_all(write, answers[:half])
    also_left, also_why = write_all(write, answers[half:])
    return left + also_left, also_why or why


def keep_unwritten(
    folder: Path, answers: Sequence[StoredAnswer]
) -> tuple[list[StoredAnswer], OSError | None]:
    """Put answers into files of their own, on the disk when this returns; in smaller ones where there is no room for a large one.

    Returns: those that there was no room for, and what the system said.
    """
    path = folder / UNWRITTEN_FOLDER / f"answers-{os.getpid()}-{token_hex(4)}.jsonl"
    try:
        append_durably(path, [orjson.dumps(one) + b"\n" for one in answers])
    except OSError as error:
        path.unlink(missing_ok=True)
        if len(answers) == 1 or not path.parent.is_dir():
            return list(answers), error
    else:
        return [], None
    half = len(answers) // 2
    left, why = keep_unwritten(folder, answers[:half])
    also_left, also_why = keep_unwritten(folder, answers[half:])
    return left + also_left, also_why or why


def put_by_room(folder: Path, free_bytes: int) -> None:
    """Take room on a disk that is getting full, for `keep_unwritten` to have; what cannot be had is not."""
    path, size = folder / RESERVE, min(RESERVE_BYTES, free_bytes // 4)
    if path.exists() or not size:
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def give_room_back(folder: Path) -> None:
    """Free what was put by."""
    (folder / RESERVE).unlink(missing_ok=True)


def take_in_unwritten(engine: sa.Engine, folder: Path) -> None:
    """Write what is in the files, and delete them; what cannot be written now stays, and a warning says so."""
    for path in sorted((folder / UNWRITTEN_FOLDER).glob("answers-*.jsonl")):
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _take_in(engine, folder, path, list(_answers_in(file)))
        except (BlockingIOError, FileNotFoundError):
            continue  # another process is at it
        except (OSError, StoreError, ValueError) as error:
            log.warning("the answers in %s are not in the database yet: %s", path, error)


def _take_in(engine: sa.Engine, folder: Path, path: Path, answers: list[StoredAnswer]) -> None:
    left, why = (
        write_all(lambda some: write_answers(engine, some), answers) if answers else ([], None)
    )
    is_smaller = len(left) < len(answers)
    homeless = keep_unwritten(folder, left)[0] if left and is_smaller else []
    if (is_smaller or not answers) and not homeless:
        path.unlink(missing_ok=True)
    if left:
        log.warning("%s answers in %s are not in the database yet: %s", len(left), path.parent, why)


def _answers_in(lines: Iterable[bytes]) -> Iterator[StoredAnswer]:
    """Yield the answers of a file; a last line that was cut short was never said to be kept."""
    for line in lines:
        if line.endswith(b"\n"):
            yield orjson.loads(line)
