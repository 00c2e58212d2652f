"""What a call costs: by the price that the settings name, else by the tables of genai-prices and of the catalogue of models.

The address decides: one name has other prices at other providers, and an address that no table knows has none. Of one call count the
length of its prompt (tiers), its hour (some prices change within the day) and the tokens that a provider's cache gave or took. What is
unknown is None, never zero.

A price is resolved once for a model and an address into rates of whole numbers; a call then costs a few multiplications, and exactly
what genai-prices says itself (tests/models/test_prices.py compares all its models).
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Protocol

from ratchet.models.catalogue import exact_entry, is_on_this_machine
from ratchet.store.workspace import Price as PriceSettings

__all__ = ["Price", "list_price"]

_TOKENS_A_PRICE = 1_000_000
_REQUESTS_A_PRICE = 1_000
_OVER_200K = 200_000
_FREE_ENDINGS = (":free", "-free")
"""How providers write the names of what they give away; elsewhere a price of zero stands for a subscription, or for nobody knows."""


class Price:
    """The price of one model's tokens in US dollars.

    Args:
        model: The model's name as its provider writes it.
        override: What the settings say: dollars a million tokens, or only those of input and output. Without it the tables are asked,
            at the first use.
        base_url: The endpoint's address; without one the model's maker is meant.
    """

    def __init__(
        self,
        model: str,
        override: PriceSettings | tuple[float, float] | None = None,
        *,
        base_url: str = "",
    ) -> None:
        self._model, self._base_url = model, base_url
        self._schedule: _Schedule | None = None
        self._is_resolved = override is not None
        if override is not None:
            self._schedule = _Schedule((_Period(_rates_of_settings(override)),))

    def __call__(self, prompt: int, completion: int) -> float | None:
        """Return the cost of a call without cached tokens; None where the price is unknown."""
        return self.cost(prompt, completion)

    def cost(
        self,
        prompt: int,
        completion: int,
        *,
        cached: int = 0,
        cache_write: int = 0,
        at: datetime | None = None,
    ) -> float | None:
        """Return what one call costs in US dollars, None where a price that it needs is unknown.

        Args:
            prompt: All tokens of the prompt, those from and to a cache too.
            completion: All tokens generated, thinking too.
            cached: Tokens of the prompt that the provider read from its cache.
            cache_write: Tokens of the prompt that it wrote to its cache, at its usual length of time.
            at: When the call was made; now where it is not said. Without a zone it is UTC.
        """
        if not self._is_resolved:
            self._schedule, self._is_resolved = _schedule_of(self._model, self._base_url), True
        schedule = self._schedule
        if schedule is None:
            return None
        return schedule.rates_at(at).cost(prompt, completion, cached, cache_write)

    def prepare(self) -> None:
        """Load the tables in a thread, which a caller that waits for its first reply need not wait for."""
        if not self._is_resolved:
            names = (self._model, self._base_url)
            threading.Thread(
                target=_schedule_of, args=names, name="ratchet-prices", daemon=True
            ).start()


def list_price(
    model: str, base_url: str = "", *, at: datetime | None = None
) -> dict[str, float | None]:
    """Return a model's list price at an address for short prompts, in US dollars a million tokens; None where it is unknown.

    Returns: `input`, `cached_input` and `output`; cached input without a price of its own costs what input does.
    """
    schedule = _schedule_of(model, base_url)
    if schedule is None:
        return {"input": None, "cached_input": None, "output": None}
    rates = schedule.rates_at(at)
    return {name: rates.per_million(name) for name in ("input", "cached_input", "output")}


# --- what a call is reckoned by ---


class _Constraint(Protocol):
    def active(self, request_timestamp: datetime) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Rate:
    """A price by the length of the prompt: past a tier's start, all tokens cost what the tier says."""

    base: int
    tiers: tuple[tuple[int, int], ...] = ()
    """Starts and prices, the highest start first."""

    def at(self, prompt: int) -> int:
        for start, price in self.tiers:
            if prompt > start:
                return price
        return self.base


@dataclass(frozen=True, slots=True)
class _Rates:
    """What the tokens of one call cost, in whole numbers of a `denominator`-th of a dollar each."""

    denominator: int
    input: _Rate | None
    output: _Rate | None
    cached_input: _Rate | None
    cache_write: _Rate | None
    request: int = 0
    """For the call itself."""

    def cost(self, prompt: int, completion: int, cached: int, cache_write: int) -> float | None:
        """Return dollars; whole numbers until the last division, so that no sum is rounded."""
        if (prompt and self.input is None) or (completion and self.output is None):
            return None
        total, fresh = self.request, prompt
        if cached and self.cached_input is not None:
            cached = min(cached, fresh)
            total += cached * self.cached_input.at(prompt)
            fresh -= cached
        if cache_write and self.cache_write is not None:
            cache_write = min(cache_write, fresh)
            total += cache_write * self.cache_write.at(prompt)
            fresh -= cache_write
        if self.input is not None:
            total += fresh * self.input.at(prompt)
        if self.output is not None:
            total += completion * self.output.at(prompt)
        return total / self.denominator

    def per_million(self, name: str) -> float | None:
        """Return a price of short prompts in dollars a million tokens."""
        rate = getattr(self, name) or (self.input if name == "cached_input" else None)
        return None if rate is None else rate.base * _TOKENS_A_PRICE / self.denominator


@dataclass(frozen=True, slots=True)
class _Period:
    rates: _Rates
    constraint: _Constraint | None = None


@dataclass(frozen=True, slots=True)
class _Schedule:
    """Prices by time: the last period that is under way counts, the first where none is."""

    periods: tuple[_Period, ...]

    def rates_at(self, at: datetime | None) -> _Rates:
        if len(self.periods) > 1:
            at = at or datetime.now(tz=UTC)
            for period in reversed(self.periods):
                if period.constraint is None or period.constraint.active(at):
                    return period.rates
        return self.periods[0].rates


# --- where it is from ---


@lru_cache(maxsize=1024)
def _schedule_of(model: str, base_url: str) -> _Schedule | None:
    """Return a model's prices at an address, by genai-prices, else by the catalogue of models."""
    if is_on_this_machine(base_url):
        return None
    return _from_genai_prices(model, base_url) or _from_catalogue(model, base_url)


def _from_genai_prices(model: str, base_url: str) -> _Schedule | None:
    from genai_prices.data_snapshot import get_snapshot  # its table takes a moment to load

    address = base_url if "//" in base_url or not base_url else f"https://{base_url}"
    try:
        _, entry = get_snapshot().find_provider_model(model, None, None, address or None)
    except LookupError:
        return None
    return schedule_of_prices(entry.prices)


def schedule_of_prices(prices: Any) -> _Schedule | None:
    """Return the schedule of a model's prices as genai-prices has them (`ModelInfo.prices`); None where none is of text."""
    if not isinstance(prices, list):
        periods = [_Period(_rates_of_table(prices.__dict__))]
    else:
        periods = [
            _Period(_rates_of_table(each.prices.__dict__), each.constraint) for each in prices
        ]
    is_of_text = [period.rates.input or period.rates.output for period in periods]
    return _Schedule(tuple(periods)) if periods and all(is_of_text) else None


def _rates_of_table(prices: Mapping[str, Any]) -> _Rates:
    """Return the rates of a table of genai-prices; what is not of text, such as audio, no call of ours is billed for."""
    tiered = {
        name: (price.base, [(tier.start, tier.price) for tier in price.tiers])
        if hasattr(price, "tiers")
        else (price, [])
        for name, price in prices.items()
        if price is not None
    }
    return _rates(
        {
            "input": tiered.get("input_mtok"),
            "output": tiered.get("output_mtok"),
            "cached_input": tiered.get("cache_read_mtok"),
            "cache_write": tiered.get("cache_write_mtok"),
        },
        request=tiered.get("requests_kcount", (Decimal(0), []))[0],
    )


def _from_catalogue(model: str, base_url: str) -> _Schedule | None:
    """Return the prices of the catalogue: at the provider of an address alone, without one at the model's maker.

    A fine-tune is billed otherwise than what it was made from, and of that the catalogue says nothing.
    """
    entry = exact_entry(model, base_url)
    if entry is None:
        return None
    cost = entry.get("cost") or {}
    is_free = not cost.get("input") and not cost.get("output")
    if "input" not in cost or (is_free and not model.lower().endswith(_FREE_ENDINGS)):
        return None
    fields = {
        "input": "input",
        "output": "output",
        "cached_input": "cache_read",
        "cache_write": "cache_write",
    }
    rates = {name: _tiers_of_entry(cost, field) for name, field in fields.items()}
    return _Schedule((_Period(_rates(rates)),))


def _tiers_of_entry(cost: Mapping[str, Any], field: str) -> "_DecimalTiers | None":
    if cost.get(field) is None:
        return None
    tiers = [
        (tier["tier"]["size"], Decimal(str(tier[field])))
        for tier in cost.get("tiers") or ()
        if field in tier and (tier.get("tier") or {}).get("type") == "context"
    ]
    over = cost.get("context_over_200k") or {}
    if not tiers and field in over:
        tiers = [(_OVER_200K, Decimal(str(over[field])))]
    return Decimal(str(cost[field])), tiers


def _rates_of_settings(settings: PriceSettings | tuple[float, float]) -> _Rates:
    if isinstance(settings, tuple):
        settings = PriceSettings(input=settings[0], output=settings[1])
    named = settings.model_dump(exclude_none=True, exclude={"training"})
    return _rates({name: (Decimal(str(price)), []) for name, price in named.items()})


_DecimalTiers = tuple[Decimal, list[tuple[int, Decimal]]]
"""A price a million tokens, and the tiers above it: starts and prices."""


def _rates(prices: Mapping[str, _DecimalTiers | None], *, request: Decimal = Decimal(0)) -> _Rates:
    """Return rates in whole numbers: all prices times the power of ten that leaves no digit behind the point."""
    per_token = {name: price for name, price in prices.items() if price is not None}
    numbers = [base for base, _ in per_token.values()]
    numbers += [price for _, tiers in per_token.values() for _, price in tiers]
    digits = max((-int(number.as_tuple().exponent) for number in [*numbers, request]), default=0)
    scale = 10 ** max(digits, 0)
    whole = {
        name: _Rate(
            int(base * scale),
            tuple((start, int(price * scale)) for start, price in reversed(_sorted(tiers))),
        )
        for name, (base, tiers) in per_token.items()
    }
    return _Rates(
        denominator=scale * _TOKENS_A_PRICE,
        request=int(request * scale) * (_TOKENS_A_PRICE // _REQUESTS_A_PRICE),
        input=whole.get("input"),
        output=whole.get("output"),
        cached_input=whole.get("cached_input"),
        cache_write=whole.get("cache_write"),
    )


def _sorted(tiers: list[tuple[int, Decimal]]) -> list[tuple[int, Decimal]]:
    return sorted(tiers, key=lambda tier: tier[0])
