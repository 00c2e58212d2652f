"""Prices: the user's own before the table's, and unknown stays unknown."""

import pytest

from ratchet.models import Price


def test_an_override_is_dollars_a_million_tokens() -> None:
    """A million tokens each way cost the two rates."""
    price = Price("gpt-4o", (0.25, 2.0))

    assert price(1_000_000, 1_000_000) == 2.25
    assert price(0, 0) == 0


def test_the_table_knows_public_models() -> None:
    """GPT-4.1 costs 2 dollars a million input tokens and 8 a million output tokens (openai.com/api/pricing, 2025)."""
    price = Price("gpt-4.1")

    assert price(1_000_000, 0) == pytest.approx(2.0)
    assert price(0, 1_000_000) == pytest.approx(8.0)


def test_an_unknown_model_has_no_price() -> None:
    """A model that no table knows costs None, never zero."""
    assert Price("my-own-model-7")(1000, 1000) is None


def test_a_model_may_be_free() -> None:
    """An override of zero is a price, not a missing one."""
    assert Price("my-own-model-7", (0.0, 0.0))(1000, 1000) == 0.0
