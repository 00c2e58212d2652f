"""Promises of the package as a whole."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

import ratchet
from ratchet import Example, InputField, MetricSpec, Roles, Task, Workbench

ROOT = Path(__file__).parents[2]


def fresh(code):
    """Run code in a fresh interpreter and return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout


def test_import_loads_nothing_heavy():
    """`import ratchet` loads neither torch nor the web, data-frame and database libraries."""
    loaded = json.loads(fresh("import ratchet, sys, json; print(json.dumps(sorted(sys.modules)))"))

    heavy = {
        "torch",
        "transformers",
        "polars",
        "sqlalchemy",
        "aiohttp",
        "scipy",
        "numpy",
        "pydantic",
    }
    assert not heavy & set(loaded)


def test_the_core_needs_no_torch():
    """The workbench, the command line and endpoints load where torch, transformers and peft cannot be imported."""
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'peft', 'trl', 'llguidance'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import ratchet.workbench, ratchet.cli.app, ratchet.cli.show\n"
        "from ratchet.core.errors import UnknownModelError\n"
        "from ratchet.models import ModelPool\n"
        "try: ModelPool().model('local:nano')\n"
        "except UnknownModelError as error: print(error)"
    )

    assert "pip install 'ratchet[local]'" in fresh(code).replace(
        "torch==2.13.0 && pip install ", "pip install "
    )


@pytest.mark.parametrize("name", ratchet.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name):
    """Each name of `ratchet.__all__` can be loaded; classes and functions have a docstring."""
    thing = getattr(ratchet, name)

    assert not callable(thing) or thing.__doc__


def test_public_lists_are_sorted():
    """`__all__` of every package is sorted, so that a reader finds a name."""
    for path in sorted((ROOT / "src" / "ratchet").glob("*/__init__.py")):
        module = __import__(f"ratchet.{path.parent.name}", fromlist=["*"])
        names = getattr(module, "__all__", [])
        assert names == sorted(names, key=lambda n: (not n.isupper(), not n[0].isupper(), n)), path


def test_no_module_is_a_drawer():
    """No module is named utils or helpers, and none has more than 650 lines: length is a question, and this is where it is asked."""
    for path in (ROOT / "src").rglob("*.py"):
        assert path.stem not in ("utils", "helpers", "misc", "common"), path
        assert len(path.read_text("utf-8").splitlines()) <= 650, path


def test_a_workbench_of_ones_own_leaves_no_folder_behind():
    """Its trials are kept as long as something uses them."""
    task = Task(name="t", instructions="Say it.", inputs=(InputField(name="q"),), metric=MetricSpec(name="exact"), models=Roles(student="m"))  # fmt: skip
    bench = Workbench.of(task, [Example(inputs={"q": "a"}, reference="b", split="dev")])
    engine, folder = bench.engine, bench.files

    assert bench.steps() == []
    del bench
    gc.collect()
    assert folder.is_dir()

    engine.dispose()
    del engine
    gc.collect()
    assert not folder.exists()
