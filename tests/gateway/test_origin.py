"""Whose requests are answered: names of this server alone, and without keys no page of another site."""

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
import sqlalchemy as sa
from tests.gateway.test_contract import hello, serving
from tests.gateway.test_policies import count_up, gateway

from ratchet.gateway.origin import HostGuard
from ratchet.store import open_database
from ratchet.store.keys import add_key


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Give an empty database on disk."""
    opened = open_database(f"sqlite:///{tmp_path / 'r.db'}")
    yield opened
    opened.dispose()


def ask(url: str, **headers: str) -> httpx.Response:
    """Ask for a chat as a browser's simple request would: plain text, no preflight."""
    body = {"model": "local:one", "messages": hello()}
    named = {"content-type": "text/plain", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return httpx.post(f"{url}/chat/completions", json=body, headers=named)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8100", "[::1]:8100", "127.9.9.9", "LocalHost:1", "mine.example"])  # fmt: skip
def test_its_own_names_are_answered(engine: sa.Engine, host: str) -> None:
    """Those of the loopback addresses, and those that the settings name."""
    asked: list[str] = []
    with serving(HostGuard(gateway(engine, count_up(asked)), ["Mine.example"])) as url:
        assert ask(url, host=host).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8100", "10.0.0.1", "localhost.evil.example", "[::2]", "0.0.0.0", ""])  # fmt: skip
def test_other_names_are_not(engine: sa.Engine, host: str) -> None:
    """A site whose name is made to point here gets nothing, health and figures neither."""
    asked: list[str] = []
    with serving(HostGuard(gateway(engine, count_up(asked)))) as url:
        refused = ask(url, host=host)
        health = httpx.get(url.replace("/v1", "/healthz"), headers={"host": host})

    assert refused.status_code == health.status_code == 403
    assert "[serve]" in refused.text
    assert asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_without_keys_no_page_of_another_site_is_answered(
    engine: sa.Engine, headers: dict[str, str]
) -> None:
    """Neither what pays nor what reads; and no preflight allows it."""
    asked: list[str] = []
    with serving(gateway(engine, count_up(asked))) as url:
        refused = ask(url, **headers)
        listed = httpx.get(f"{url}/models", headers={k.replace("_", "-"): v for k, v in headers.items()})  # fmt: skip
        preflight = httpx.options(f"{url}/chat/completions", headers={"origin": "https://evil.example"})  # fmt: skip

    assert refused.status_code == listed.status_code == 403
    assert refused.json()["error"]["code"] == "cross_origin"
    assert "access-control-allow-origin" not in preflight.headers
    assert asked == []


def test_its_own_pages_and_programs_are_answered(engine: sa.Engine) -> None:
    """The same origin, and who is no browser."""
    with serving(gateway(engine, count_up([]))) as url:
        origin = url.removesuffix("/v1")
        assert ask(url).status_code == 200
        assert ask(url, origin=origin, sec_fetch_site="same-origin").status_code == 200
        assert ask(url, sec_fetch_site="none").status_code == 200


def test_with_keys_the_key_decides(engine: sa.Engine) -> None:
    """A browser adds no key by itself: a page that has one may ask from anywhere."""
    key = add_key(engine, "app", ("chat",))
    with serving(gateway(engine, count_up([]))) as url:
        good = ask(url, origin="https://app.example", authorization=f"Bearer {key}")
        without = ask(url, origin="https://app.example")

    assert good.status_code == 200
    assert without.status_code == 401
