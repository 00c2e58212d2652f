"""The decoding lever: other ways of drawing the answer from the same prompt and weights."""

from collections.abc import AsyncIterator

from ratchet.core import Budget, Candidate, Decoding
from ratchet.core.candidate import Effort
from ratchet.levers.lever import Evidence, LeverEstimate

__all__ = ["DecodingLever"]


class DecodingLever:
    """Propose the champion with another temperature, with several samples, with repair, with and without a forced form.

    What a way costs more is part of its candidate's cost. Ways that cannot change the answers of the task are left out: text has no
    form to force, and none to repair unless the task has a check.

    Args:
        temperatures: To try instead of the champion's.
        samples: So many answers, of which the one that most agree on is taken; drawn at `heat`.
        heat: The temperature of samples, where the champion's is 0.
        repairs: An answer that fails is handed back so many times at most.
        efforts: How long a model that reasons may do so; for endpoints whose model knows it.
    """

    name = "decoding"

    def __init__(
        self,
        *,
        temperatures: tuple[float, ...] = (0.0,),
        samples: tuple[int, ...] = (5,),
        heat: float = 0.7,
        repairs: int = 2,
        efforts: tuple[Effort, ...] = (),
    ) -> None:
        self._temperatures, self._samples, self._heat = temperatures, samples, heat
        self._repairs, self._efforts = repairs, efforts

    async def estimate(self, champion: Candidate, evidence: Evidence) -> LeverEstimate:
        """Return the number of ways; proposing them costs nothing."""
        count = len(self._ways(champion, evidence))
        return LeverEstimate(
            candidates=count,
            calls=0,
            cost_usd=0.0,
            note=f"a candidate with samples takes {', '.join(map(str, self._samples))} calls an answer, one with repairs up to {1 + self._repairs}",
        )

    async def propose(
        self, champion: Candidate, evidence: Evidence, _budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield each way once, leaving out those that were tried."""
        for challenger in self._ways(champion, evidence):
            if challenger.id not in evidence.tried:
                yield challenger

    def _ways(self, champion: Candidate, evidence: Evidence) -> list[Candidate]:
        decoding, form = champion.decoding, evidence.task.answer
        pool = evidence.pool
        heat = decoding.temperature or pool.sampling_temperature(champion.model, self._heat)
        at = "" if heat is None else f" at temperature {heat:g}"
        takes_temperature = pool.sampling_temperature(champion.model, self._heat) is not None
        ways: list[tuple[str, dict[str, object]]] = [
            (f"temperature {t:g}", {"temperature": t})
            for t in self._temperatures
            if (t > 0 or decoding.samples == 1) and takes_temperature and not decoding.decide
        ]
        ways += [
            (f"{n} samples{at}, the most agreed on", {"samples": n, "temperature": heat})
            for n in self._samples
        ]
        if form.kind != "text" or form.check:
            ways.append((f"up to {self._repairs} repairs", {"repairs": self._repairs}))
        is_forced_here = form.kind in ("label", "number") and champion.is_local
        if form.kind in ("json", "tool") or (is_forced_here and not decoding.constrained):
            word = "free form" if decoding.constrained else "forced form"
            ways.append((word, {"constrained": not decoding.constrained}))
        elif form.kind in ("label", "number") and not is_forced_here:
            word = "as plain text" if decoding.as_json else "forced form, as JSON"
            ways.append((word, {"as_json": not decoding.as_json}))
        if form.kind == "label" and champion.is_local and champion.answer == "{{answer}}":
            ways += self._decisions(decoding)
        ways += [(f"reasoning effort {effort}", {"effort": effort}) for effort in self._efforts]
        drawn = decoding.model_copy(update={"decide": False, "calibration": None}).model_dump()
        found = [champion.changed(decoding={**drawn, **change}, note=note) for note, change in ways]
        return [one for one in found if one.id != champion.id]

    @staticmethod
    def _decisions(decoding: Decoding) -> list[tuple[str, dict[str, object]]]:
        """Return the ways to take the likeliest label by its probability, with and without what the prompt alone makes likely."""
        decided: dict[str, object] = {
            "decide": True,
            "constrained": True,
            "as_json": False,
            "samples": 1,
            "repairs": 0,
        }
        ways: list[tuple[str, dict[str, object]]] = [
            ("labels decided", decided),
            (
                "labels decided, without the prompt's own leaning",
                {**decided, "calibration": "prior"},
            ),
        ]
        return [*ways, ("labels generated", {})] if decoding.decide else ways
