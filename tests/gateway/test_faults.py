"""The gateway under an upstream that fails in every way; `benchmarks/gateway/faults.py` does the same with 10,000 requests."""

from benchmarks.gateway.faults import KINDS, run


async def test_every_request_is_answered_and_logged_once() -> None:
    """Faults of every kind, half of the requests streams: an answer or an error in OpenAI's shape each, and a line in the log each."""
    found, faults = await run(500, 64)

    assert set(KINDS) < set(faults)
    assert found.wrong == []
    assert found.answers + found.errors.total() == 500
    assert len(found.errors) >= 4
    assert len(found.logged) == len(set(found.logged)) == 500
    assert set(found.ids) == set(found.logged)
