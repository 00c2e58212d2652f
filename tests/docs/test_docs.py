"""The documents keep their word: every Python example runs; `test_commands.py` sees to their commands."""

import re
import tomllib
from pathlib import Path

import pytest

from ratchet.store.workspace import SETTINGS, Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    """Return the code blocks of one language."""
    return [body for kind, body in BLOCK.findall(page.read_text("utf-8")) if kind == language]


SKETCH = ROOT / "docs" / "design.md"  # its code is the shape of a protocol, not an example


@pytest.mark.parametrize(
    "page", [p for p in PAGES if blocks(p, "python") and p != SKETCH], ids=lambda p: p.name
)
def test_python_examples_run(page, tmp_path, monkeypatch):
    """The Python blocks of a page run, in order and in one namespace, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    names = {}

    for body in blocks(page, "python"):
        exec(compile(body, str(page), "exec"), names)  # our own documents


def test_the_design_names_modules_that_there_are():
    """Each file that the map of the design names is in the source, under the folder that it is named with."""
    source = ROOT / "src" / "ratchet"
    paths = [f"/{path.relative_to(source)}" for path in source.rglob("*") if path.is_file()]
    named = re.findall(r"`([\w/]+\.(?:py|toml))`", SKETCH.read_text("utf-8"))

    assert len(named) > 50
    assert not [name for name in named if not any(path.endswith(f"/{name}") for path in paths)]


def test_the_design_names_the_dependencies_that_there_are():
    """What the table of bought parts names is installed by us, and each extra is named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = SKETCH.read_text("utf-8").lower()

    extras = project["optional-dependencies"]
    assert not [name for name in extras if name != "dev" and f"`{name}`" not in text]
    needed = [re.split(r"[\[><=]", requirement)[0] for requirement in project["dependencies"]]
    assert not [name for name in needed if name not in text]


def merged(first, second):
    """Return two mappings as one, those inside them too."""
    both = {
        name: merged(first[name], second[name])
        for name in first.keys() & second.keys()
        if isinstance(first[name], dict)
    }
    return {**first, **second, **both}


def test_the_settings_of_the_guide_are_settings():
    """The TOML blocks of the guide, put together, are a `ratchet.toml`."""
    settings = {}
    for body in blocks(ROOT / "docs" / "guide.md", "toml"):
        tables = tomllib.loads(body)
        settings = merged(settings, {n: v for n, v in tables.items() if n != "price"})

    read = Settings.model_validate(settings)

    assert read.endpoints["anthropic"].base_url == "https://api.anthropic.com/v1"
    assert read.endpoints["mine"].models["qwen3"].efforts == ("low", "high")


def test_the_settings_that_init_writes_hold_when_a_user_takes_their_comments_away():
    """Each line that is commented out is a setting that there is, of a value that it may have."""
    lines = [re.sub(r"^# (?=\[|[\w.\"-]+ = )", "", line) for line in SETTINGS.splitlines()]

    read = Settings.model_validate(tomllib.loads("\n".join(lines)))

    assert not [line for line in lines[1:] if line.startswith("#")]
    assert read.endpoints["openai"].protocol == "responses"
    assert read.notice.email
    assert read.tune.ray == "auto"
