"""A canary: a share of a release's traffic is answered by another candidate, until people's words prove it worse, or better.

Proven worse it is rolled back, proven better it takes over; both are promotions like any other, with the evidence written down.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from ratchet.answer import Prompt
from ratchet.core import Candidate, Json, Release
from ratchet.core.errors import UsageError
from ratchet.ladder.final import login_name
from ratchet.measure.live import LiveTest, live_test
from ratchet.retrieval import pinned
from ratchet.store import add_release, keep_candidate, load_releases

__all__ = [
    "answering",
    "canary_test",
    "current",
    "roll_back",
    "settle_canaries",
    "start_canary",
]


def current(engine: sa.Engine, name: str) -> Release:
    """Return what is served under a name.

    Raises: UsageError if nothing is.
    """
    found = load_releases(engine, name)
    if not found:
        names = ", ".join(dict.fromkeys(one.name for one in load_releases(engine))) or "none"
        raise UsageError(f"there is no release {name!r}; there are {names}. Make one with: ratchet promote TASK")  # fmt: skip
    return found[-1]


def start_canary(
    engine: sa.Engine, candidate: Candidate, *, name: str, share: float, who: str | None = None
) -> Release:
    """Return the release under which a share of the requests goes to `candidate` from now on.

    Raises: UsageError if nothing is served under that name yet, or the share is none.
    """
    if not 0 < share < 1:
        raise UsageError(f"a canary gets a share of more than 0 % and less than 100 %; got {100 * share:g}")  # fmt: skip
    before = current(engine, name)
    candidate = pinned(engine, candidate)
    if candidate.id == before.candidate.id:
        raise UsageError(f"{candidate.id} is what {name!r} serves already")
    Prompt(before.task, candidate)
    keep_candidate(engine, candidate)
    return next_release(engine, before, canary=candidate, share=share, why=f"{100 * share:g} % to {candidate.id}", who=who)  # fmt: skip


def roll_back(
    engine: sa.Engine, name: str, *, why: str = "by hand", who: str | None = None
) -> Release:
    """Return the release that ends a canary; without one, that serves again what was served before.

    Raises: UsageError if there is nothing to go back to.
    """
    found = load_releases(engine, name)
    last = current(engine, name)
    if last.canary is not None:
        return next_release(
            engine, last, why=f"canary {last.canary.id} rolled back: {why}", who=who
        )
    stands = standing(found)
    if len(stands) == 1:
        raise UsageError(f"{name!r} has nothing before {last.candidate.id} to go back to")
    back = stands[-2]
    return next_release(
        engine,
        last,
        candidate=back.candidate,
        task=back.task,
        returns_to=back.number,
        why=f"{last.candidate.id} rolled back: {why}",
        who=who,
    )


def answering(engine: sa.Engine) -> dict[str, list[Candidate]]:
    """Return by release which candidates answer: the one that is served, its canary, and the one that a rollback goes back to."""
    by_name: dict[str, list[Release]] = {}
    for one in load_releases(engine):
        by_name.setdefault(one.name, []).append(one)
    return {
        name: [one.candidate for one in standing(found)[-2:]]
        + [one for one in (found[-1].canary,) if one]
        for name, found in by_name.items()
    }


def standing(found: Sequence[Release]) -> list[Release]:
    """Return the releases that were not taken back, each where its candidate or task began to be served."""
    stands: list[Release] = []
    for one in found:
        if one.returns_to is not None:
            stands = [before for before in stands if before.number <= one.returns_to]
        elif not stands or (stands[-1].candidate.id, stands[-1].task) != (one.candidate.id, one.task):  # fmt: skip
            stands.append(one)
    return stands


def next_release(
    engine: sa.Engine, before: Release, *, who: str | None = None, **parts: Any
) -> Release:
    fresh = {"canary": None, "share": 0.0, "returns_to": None}
    release = before.model_copy(
        update={
            **fresh,
            **parts,
            "number": before.number + 1,
            "who": who or login_name(),
            "at": datetime.now(UTC).isoformat(timespec="microseconds"),
        }
    )
    add_release(engine, release)
    return release


def canary_test(engine: sa.Engine, release: Release) -> LiveTest:
    """Return what people's words say of a release's canary beside what is served.

    Raises: UsageError if there is none.
    """
    from ratchet.store.requests import spoken_of  # needs zstandard, which is an extra

    if release.canary is None:
        raise UsageError(f"{release.name!r} has no canary; start one with: ratchet promote TASK --canary 10")  # fmt: skip
    since = datetime.fromisoformat(release.at).timestamp()
    arms = {release.candidate.id: False, release.canary.id: True}
    words: list[tuple[bool, float]] = []
    heard: set[str] = set()
    for candidate_id, user, said in spoken_of(engine, release.name, since):
        score = score_of(said)
        if candidate_id not in arms or score is None or user in heard:
            continue
        if user:  # who speaks often is one person still
            heard.add(user)
        words.append((arms[candidate_id], score))
    return live_test(words)


def score_of(said: dict[str, Json]) -> float | None:
    """Return a word of feedback as a score: a thumb, a score, or 0 where the right answer had to be given."""
    if "thumb" in said:
        return float(said["thumb"] == "up")
    if "score" in said:
        return float(said["score"])
    return 0.0 if "answer" in said else None


def settle_canaries(engine: sa.Engine) -> list[Release]:
    """Return the releases that end a canary: those proven worse are rolled back, those proven better take over."""
    ended = []
    for name in dict.fromkeys(one.name for one in load_releases(engine)):
        release = current(engine, name)
        if release.canary is None:
            continue
        found = canary_test(engine, release)
        words = f"{found.wins} wins, {found.losses} losses; {100 * found.new[1]:.0f} against {100 * found.old[1]:.0f} points"
        if found.word == "worse":
            ended.append(roll_back(engine, name, why=f"proven worse by feedback, {words}"))
        elif found.word == "better":
            ended.append(next_release(engine, release, candidate=release.canary, why=f"canary proven better by feedback, {words}"))  # fmt: skip
    return ended
