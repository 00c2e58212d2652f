"""What the tests of data share: the real files beside the repository, where they are there; and no clock in a property."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"

settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """Give the path of a real file under ../shared/data; the test is skipped where it is absent."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.is_file():
            pytest.skip(f"the real data file {path} is absent")
        return path

    return find
