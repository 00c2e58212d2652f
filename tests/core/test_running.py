"""One synchronous door to coroutines, with or without a loop that already runs."""

import asyncio
import threading

import pytest

from ratchet.core.running import run_sync


async def doubled(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def failing() -> None:
    await asyncio.sleep(0)
    raise KeyError("gone")


def test_without_a_loop_the_result_comes_back() -> None:
    """A synchronous caller gets the coroutine's result."""
    assert run_sync(doubled(21)) == 42


def test_without_a_loop_an_error_comes_through() -> None:
    """A synchronous caller gets the coroutine's own error."""
    with pytest.raises(KeyError, match="gone"):
        run_sync(failing())


async def test_inside_a_running_loop_the_result_comes_back() -> None:
    """A caller in a notebook, where a loop runs, gets the result too."""
    assert run_sync(doubled(21)) == 42


async def test_inside_a_running_loop_an_error_comes_through() -> None:
    """The error of the other thread is raised in the caller's."""
    with pytest.raises(KeyError, match="gone"):
        run_sync(failing())


async def test_inside_a_running_loop_no_thread_is_left() -> None:
    """The thread that ran the work has ended when the result is there."""
    before = threading.active_count()

    run_sync(doubled(1))

    assert threading.active_count() == before
