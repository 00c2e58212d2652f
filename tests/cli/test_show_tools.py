"""What `show` prints of a task of kind `tool` on a local model: the very text that is sent."""

import json
from pathlib import Path

import pytest
from tests.models.templates import tokenizer_of

pytestmark = pytest.mark.local

TASK = """\
name: book
instructions: Book what the message asks for.
inputs: [{name: text}]
answer:
  kind: tool
  tool: book_room
  json_schema:
    type: object
    properties: {city: {type: string}}
    required: [city]
metric: {name: fields}
models: {student: "local:tiny"}
"""


@pytest.fixture
def booking(ratchet, tmp_path: Path) -> Path:
    """Give a workspace with a task, its examples, and a folder that holds a tokenizer with a real template."""
    ratchet("init")
    (tmp_path / "tasks" / "book.yaml").write_text(TASK)
    rows = [{"text": f"A night in place {n}.", "answer": {"city": f"place {n}"}} for n in range(20)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ratchet("import", "rows.jsonl", "--task", "book")
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text('{"model_type": "llama"}')
    return tmp_path


@pytest.mark.parametrize(
    ("template", "words"),
    [("phi3", "To call a tool, answer with one JSON object"), ("qwen2_5", "<tools>")],
)
def test_show_prints_the_text_with_the_tools(ratchet, booking, template, words):
    """In words where the template knows no tools, else as the template tells of them; as JSON to the letter."""
    tokenizer_of(template).save_pretrained(booking / "tiny")

    printed = ratchet("show", "start").stdout
    text = json.loads(ratchet("show", "start", "--json").stdout)["text"]

    assert words in printed
    assert words in text
    assert "book_room" in text
    assert "A night in place" in text


def test_show_needs_no_model(ratchet, booking):
    """Where the folder is gone the messages are printed all the same."""
    (booking / "tiny" / "config.json").unlink()

    assert "Book what the message asks for." in ratchet("show", "start").stdout
    assert json.loads(ratchet("show", "start", "--json").stdout)["text"] is None
