"""How a candidate answers an example: template, demonstrations, call, parse."""

from ratchet.answer.answering import answer_example, draw
from ratchet.answer.forms import parse_answer
from ratchet.answer.messages import Prompt, signature, starting_candidate, written_answer
from ratchet.answer.template import Template

__all__ = [
    "Prompt",
    "Template",
    "answer_example",
    "draw",
    "parse_answer",
    "signature",
    "starting_candidate",
    "written_answer",
]
