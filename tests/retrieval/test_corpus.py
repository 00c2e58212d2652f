"""Sixty small documents: each is read as its reader sees it, and what is left out is named."""

import os
import stat
import sys
from pathlib import Path

import pytest

pytest.importorskip("docx")
from tests.retrieval.corpus import CASES, make_pdf

from ratchet.retrieval import FORMATS, read_documents


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give a folder with all of them."""
    folder = tmp_path_factory.mktemp("documents")
    for case in CASES:
        (folder / case.name).write_bytes(case.bytes())
    return folder


@pytest.fixture(scope="module")
def found(folder):
    """Give what was read of the folder: documents by name, and sentences."""
    read = list(read_documents(folder))
    documents = {Path(one.source).name: one for one in read if not isinstance(one, str)}
    return documents, [one for one in read if isinstance(one, str)]


def test_there_are_sixty():
    """Of every format that is read."""
    assert len(CASES) == 60
    endings = {Path(case.name).suffix.lower() for case in CASES}
    unseen = set(FORMATS) - endings
    assert unseen <= {".markdown", ".htm", ".xlsm", ".ndjson", ".sqlite", ".db"}


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_is_read_as_it_is_seen(found, case):
    """The right text under the right heading; what cannot be read is named with its reason, and ends nothing."""
    documents, problems = found
    document = documents.get(case.name)
    sections = [(one.heading, one.text.rstrip()) for one in document.sections] if document else []
    assert sections == [(heading, text.rstrip()) for heading, text in case.wanted]
    said = " ".join(one for one in problems if case.name in one)
    for words in case.left_out:
        assert words in said
    assert bool(said) is bool(case.left_out)


def test_one_bad_file_ends_no_folder(tmp_path, monkeypatch):
    """Whatever a library raises, a folder that is named like a file, a link that leads nowhere or in a circle, a file that nobody may read."""
    import ratchet.retrieval.parse as module

    (tmp_path / "good.txt").write_text("Good.")
    (tmp_path / "folder.pdf").mkdir()
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere.txt")
    (tmp_path / "round.txt").symlink_to(tmp_path / "round.txt")
    (tmp_path / "deep.md").write_text("Deep.")
    (tmp_path / "odd.html").write_text("<p>x</p>")
    (tmp_path / "open.pdf").write_bytes(make_pdf("x"))

    def raising(error):
        def read(path):
            raise error

        return read

    monkeypatch.setitem(module.FORMATS, ".md", raising(RecursionError("too deep")))
    monkeypatch.setitem(module.FORMATS, ".html", raising(AttributeError("'NoneType' object")))
    monkeypatch.setitem(module.FORMATS, ".pdf", raising(MemoryError()))

    read = list(read_documents(tmp_path))

    documents = [one for one in read if not isinstance(one, str)]
    problems = " ".join(one for one in read if isinstance(one, str))
    assert [one.sections[0].text for one in documents] == ["Good."]
    for name in ("gone.txt", "round.txt", "deep.md", "odd.html", "open.pdf"):
        assert name in problems


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    """And the others are read."""
    (tmp_path / "a.txt").write_text("A.")
    (tmp_path / "b.txt").write_text("B.")
    (tmp_path / "b.txt").chmod(stat.S_IWUSR)
    read = list(read_documents(tmp_path))
    assert len(read) == 2
    assert "cannot be read" in str(read[1])


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    """The sizes that an archive tells are added up before anything is unpacked."""
    import ratchet.retrieval.parse as module

    monkeypatch.setattr(module, "MAX_UNPACKED_BYTES", 1000)
    case = next(case for case in CASES if case.name == "headings.docx")
    (tmp_path / "a.docx").write_bytes(case.bytes())
    (problem,) = read_documents(tmp_path)
    assert "unpacks to" in problem
