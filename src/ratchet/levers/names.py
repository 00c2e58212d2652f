"""What a name of a candidate means: `champion`, `start`, an id, a path, a file's stem, or a label.

They are looked for in that order, and the first kind that has a match decides; files come before what is stored, so that a
file that was edited means what it holds now. Two different candidates of one name are an error, never a choice.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from ratchet.core import BROUGHT, Candidate, Task
from ratchet.core.errors import CandidateError, UsageError, did_you_mean
from ratchet.levers.variants import (
    WRITTEN,
    files_in,
    labels_in,
    only_candidate,
    variants_in,
)
from ratchet.store import (
    candidates_labelled,
    candidates_with_id,
    load_steps,
    measured_candidates,
)

__all__ = ["CandidateNames"]

_RESERVED = ("champion", "start")
_ID = re.compile(r"c_[0-9a-f]{16}")
_MAX_MATCHES_SHOWN = 8
_Matches = dict[str, tuple[Candidate, str]]
"""By id: the candidate, and where it was found, in words."""


@dataclass(frozen=True, kw_only=True)
class CandidateNames:
    """The names that candidates of one task go by.

    Args:
        task: The task.
        engine: The database that candidates are stored in.
        root: The workspace's folder; None where there is none, and files are looked for in the current folder alone.
        start: Returns the plainest candidate, whose parts a file may leave out.
        champion: Returns the best candidate so far.
        opened: Files that are being read, the outermost first: one that starts from itself is refused.
    """

    task: Task
    engine: sa.Engine
    root: Path | None
    start: Callable[[], Candidate]
    champion: Callable[[], Candidate]
    opened: tuple[Path, ...] = ()

    @property
    def folder(self) -> Path | None:
        """Return the folder of the task's own candidate files, whether it exists or not."""
        return self.root / "tasks" / self.task.name if self.root else None

    def find(self, name: str) -> Candidate:
        """Return the candidate of that name.

        Raises: UsageError if nothing has the name, or more than one candidate; CandidateError if it names a file that is not
            there, or that holds no candidate.
        """
        if name.startswith(BROUGHT):
            return self.find(name.removeprefix(BROUGHT))
        if name == "champion":
            return self.champion()
        if name == "start":
            return self.start()
        kinds = (self._by_id, self._by_path, self._by_file, self._by_label, self._by_id_prefix)
        for matches_of in kinds if name.strip() else ():
            matches = matches_of(name)
            if len(matches) > 1:
                raise UsageError(_ambiguity(name, matches.values()))
            if matches:
                return next(iter(matches.values()))[0]
        raise self._unknown(name)

    def label(self, candidate: Candidate) -> str:
        """Return a name that `find` takes for that candidate: its label where that means it alone, else its id."""
        if candidate.id == self.start().id:
            return "start"
        try:
            is_alone = bool(candidate.note) and self.find(candidate.note).id == candidate.id
        except (UsageError, CandidateError):
            is_alone = False
        return candidate.note if is_alone else candidate.id

    def labels(self, candidates: Iterable[Candidate]) -> dict[str, str]:
        """Return such a name of each candidate, by id."""
        return {one.id: self.label(one) for one in candidates}

    def variants_in(self, path: Path) -> list[Candidate]:
        """Return the candidates of a file.

        Raises: CandidateError if it holds none, or starts from itself.
        """
        file = path.resolve()
        if file in self.opened:
            chain = [*self.opened[self.opened.index(file) :], file]
            raise CandidateError(
                f"{path} starts from itself: {' from '.join(one.name for one in chain)}; name another candidate in its `from`"
            )
        inner = replace(self, opened=(*self.opened, file))
        return variants_in(path, self.task, self.start(), inner.find)

    def candidate_in(self, path: Path) -> Candidate:
        """Return the only candidate of a file.

        Raises: CandidateError if it holds several, or none, or starts from itself.
        """
        return only_candidate(self.variants_in(path), path, self.task)

    def _by_id(self, name: str) -> _Matches:
        found = candidates_with_id(self.engine, name) if _ID.fullmatch(name) else []
        return {one.id: (one, "stored") for one in found}

    def _by_path(self, name: str) -> _Matches:
        if Path(name).suffix not in WRITTEN:
            return {}
        return self._in_files(self._existing([name]))

    def _by_file(self, name: str) -> _Matches:
        """Return the matches among files by a path without its ending, and by the labels of the task's own files."""
        matches = self._in_files(self._existing(name + suffix for suffix in WRITTEN))
        for path in files_in(self.folder):
            if name in labels_in(path):
                for one in self.variants_in(path):
                    if one.note == name:
                        matches[one.id] = (one, self._shown(path))
        return matches

    def _by_label(self, name: str) -> _Matches:
        found = candidates_labelled(self.engine, name)
        if len(found) > 1 and (own := self._own_ids()) & {one.id for one in found}:
            found = [one for one in found if one.id in own]
        return {one.id: (one, "stored under that label") for one in found}

    def _by_id_prefix(self, name: str) -> _Matches:
        found = candidates_with_id(self.engine, name) if name.startswith("c_") else []
        return {one.id: (one, one.note or "stored") for one in found}

    def _own_ids(self) -> set[str]:
        """Return the ids of stored candidates that belong to this task: they have answered it, or stand on its ladder."""
        measured = {one.id for one in measured_candidates(self.engine, self.task.asking_id)}
        steps = load_steps(self.engine, self.task.name)
        return measured.union(*(step.tried_ids for step in steps))

    def _folders(self, name: str) -> list[Path]:
        """Return where a path is looked for; one that says where it begins means that place alone."""
        if Path(name).is_absolute() or name.startswith(("./", "../")):
            return [Path()]
        return [Path(), *(folder for folder in (self.root, self.folder) if folder)]

    def _existing(self, names: Iterable[str]) -> list[Path]:
        """Return the files that these paths name, each once."""
        paths = [folder / name for name in names for folder in self._folders(name)]
        return list({path.resolve(): path for path in reversed(paths) if _is_file(path)}.values())

    def _in_files(self, paths: Sequence[Path]) -> _Matches:
        found = ((path, self.candidate_in(path)) for path in paths)
        return {one.id: (one, self._shown(path)) for path, one in found}

    def _shown(self, path: Path) -> str:
        file = path.resolve()
        inside = self.root and file.is_relative_to(self.root)
        return f"file {file.relative_to(self.root) if inside and self.root else file}"

    def _unknown(self, name: str) -> UsageError | CandidateError:
        """Return what is said of a name that nothing has."""
        folders = ", ".join(dict.fromkeys(str(one.resolve()) for one in self._folders(name)))
        if Path(name).suffix in WRITTEN:
            known = [path.name for path in files_in(self.folder)]
            return CandidateError(
                f"there is no file {name} in {folders}.{did_you_mean(name, known)}"
            )
        own = measured_candidates(self.engine, self.task.asking_id)
        labels = [label for path in files_in(self.folder) for label in labels_in(path)]
        known = [*dict.fromkeys([*_RESERVED, *labels, *(one.note for one in own if one.note)])]
        listed = ", ".join(repr(one) for one in known[:_MAX_MATCHES_SHOWN])
        more = ", …" if len(known) > _MAX_MATCHES_SHOWN else ""
        return UsageError(
            f"no candidate has the {'id' if name.startswith('c_') else 'name'} {name!r}: there is no such id, no such label, and "
            f"no file in {folders}; names of task {self.task.name!r} are {listed}{more}.{did_you_mean(name, known)}"
        )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have: too long, or with a null byte
        return False


def _ambiguity(name: str, matches: Iterable[tuple[Candidate, str]]) -> str:
    found = list(matches)
    lines = "; ".join(f"{one.id} ({place})" for one, place in found[:_MAX_MATCHES_SHOWN])
    more = "; …" if len(found) > _MAX_MATCHES_SHOWN else ""
    return f"{name!r} names {len(found)} candidates: {lines}{more}. Name it by its id, or by a path that begins with ./"
