"""What a call costs: the price that the endpoint's settings name, else the table that genai-prices carries."""

from collections.abc import Callable

__all__ = ["price_of"]


def price_of(
    model: str, override: tuple[float, float] | None = None
) -> Callable[[int, int], float | None]:
    """Return a function from prompt and completion tokens to US dollars; it returns None where the price is unknown.

    Args:
        model: The model's name as its provider writes it.
        override: Dollars a million input and output tokens.
    """
    known: list[tuple[float, float] | None] = [override] if override else []

    def price(prompt: int, completion: int) -> float | None:
        if not known:
            known.append(looked_up(model))
        rates = known[0]
        return None if rates is None else (prompt * rates[0] + completion * rates[1]) / 1e6

    return price


def looked_up(model: str) -> tuple[float, float] | None:
    from genai_prices import Usage, calc_price  # its table takes a moment to load

    try:
        price = calc_price(Usage(input_tokens=1000, output_tokens=1000), model_ref=model)
    except LookupError:
        return None
    return float(price.input_price) * 1000, float(price.output_price) * 1000
