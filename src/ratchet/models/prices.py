"""What a call costs: the price that the endpoint's settings name, else the table that genai-prices carries."""

import threading

__all__ = ["Price"]


class Price:
    """The price of one model's tokens in US dollars.

    Args:
        model: The model's name as its provider writes it.
        override: Dollars a million input and output tokens; without them the table is asked, at the first use.
    """

    def __init__(self, model: str, override: tuple[float, float] | None = None) -> None:
        self._model, self._rates, self._is_known = model, override, override is not None
        self._lock = threading.Lock()

    def __call__(self, prompt: int, completion: int) -> float | None:
        """Return the cost of a call by its token counts; None where the price is unknown."""
        if not self._is_known:
            self._look_up()
        rates = self._rates
        return None if rates is None else (prompt * rates[0] + completion * rates[1]) / 1e6

    def cost(
        self, prompt: int, completion: int, *, cached: int = 0, cache_write: int = 0
    ) -> float | None:
        """Return the cost of a call."""
        return self(prompt, completion)

    def prepare(self) -> None:
        """Load the table in a thread, which a caller that waits for its first reply need not wait for."""
        if not self._is_known:
            threading.Thread(target=self._look_up, name="ratchet-prices", daemon=True).start()

    def _look_up(self) -> None:
        with self._lock:
            if not self._is_known:
                self._rates, self._is_known = looked_up(self._model), True


def looked_up(model: str) -> tuple[float, float] | None:
    from genai_prices import Usage, calc_price  # its table takes a moment to load

    try:
        price = calc_price(Usage(input_tokens=1000, output_tokens=1000), model_ref=model)
    except LookupError:
        return None
    return float(price.input_price) * 1000, float(price.output_price) * 1000
