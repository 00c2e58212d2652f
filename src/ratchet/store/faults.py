"""What it means that a database did not take something: a row that is wrong, no room, a moment's trouble, or a database that is broken."""

import errno
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from ratchet.core.errors import StoreError

__all__ = ["FaultKind", "fault_of"]

FaultKind = Literal["row", "full", "passing", "broken"]
"""row: what is in it is refused, and its neighbours are not; full: there is no room; passing: locked or away, and another try may help;
broken: a table, a right or the database is missing, and only people can help."""

SQLITE_FAULTS: dict[int, FaultKind] = {
    5: "passing",  # SQLITE_BUSY
    6: "passing",  # SQLITE_LOCKED
    10: "full",  # SQLITE_IOERR: a quota, a file that may not grow, or a disk that fails
    13: "full",  # SQLITE_FULL
    18: "row",  # SQLITE_TOOBIG
    19: "row",  # SQLITE_CONSTRAINT, which triggers raise too
    20: "row",  # SQLITE_MISMATCH
}
STATE_FAULTS: dict[str, FaultKind] = {
    **dict.fromkeys(("08", "40", "55", "57"), "passing"),
    **dict.fromkeys(("25", "28", "3D", "42", "58", "F0", "XX"), "broken"),
    "53": "full",
}
"""By the class of a state of SQL, its first two characters; any other speaks of the row (appendix A of PostgreSQL's manual)."""
NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def fault_of(error: BaseException) -> FaultKind:
    """Return what kind of fault an error is, that was raised by a driver, by the system, or by a value that no driver could send."""
    found: BaseException | None = error
    while isinstance(found, StoreError):
        found = found.__cause__
    if isinstance(found, DBAPIError):
        return _driver_fault(found)
    if isinstance(found, OSError):
        return "full" if found.errno in NO_ROOM else "broken"
    if isinstance(found, MemoryError | sa.exc.TimeoutError):
        return "passing"
    return "broken" if found is None else "row"


def _driver_fault(error: DBAPIError) -> FaultKind:
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return SQLITE_FAULTS.get(code & 0xFF, "broken")
    state = str(getattr(error.orig, "sqlstate", None) or "")[:2]
    if error.connection_invalidated or (not state and isinstance(error, sa.exc.OperationalError)):
        return "passing"  # the connection is gone, and there was nobody to give a state
    if not state and isinstance(error, sa.exc.InterfaceError | sa.exc.InternalError):
        return "broken"
    return STATE_FAULTS.get(state, "row")
