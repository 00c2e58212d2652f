"""How often a job was taken up without getting further: one that kills its worker each time is given up, not tried for ever."""

import json
from pathlib import Path

from ratchet.core.errors import TuningError
from ratchet.store import Workspace

__all__ = ["Takes"]

MOST = 5
"""So many workers may die of a job at the same place."""


class Takes:
    """What is known of the workers of a job, in a file that outlives them.

    Args:
        workspace: Where the file is.
        job_id: The job.
        run: Which run of it; one that was resumed begins to count anew.
    """

    def __init__(self, workspace: Workspace, job_id: str, run: int) -> None:
        self._path: Path = workspace.files / "takes" / f"{job_id}-{run}.json"
        self._taken, self._step = 0, 0

    def begin(self) -> None:
        """Count a worker that takes the job.

        Raises: TuningError if too many died before it, none further than the others.
        """
        if self._path.is_file():
            known = json.loads(self._path.read_text("utf-8"))
            self._taken, self._step = int(known["taken"]), int(known["step"])
        if self._taken >= MOST:
            raise TuningError(
                f"{self._taken} workers died of this job, none beyond step {self._step}: is there too little memory? Resume it to try again, with a smaller batch or shorter examples"
            )
        self._taken += 1
        self._write()

    def reached(self, step: int) -> None:
        """Take note of a step; beyond the last one known the count begins anew."""
        if step > self._step:
            self._taken, self._step = 1, step
            self._write()

    def end(self) -> None:
        """Forget it: the job has ended, whichever way."""
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        half = self._path.with_suffix(".part")
        half.write_text(json.dumps({"taken": self._taken, "step": self._step}), "utf-8")
        half.replace(self._path)
