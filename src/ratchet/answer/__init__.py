"""How a candidate answers an example: template, demonstrations, call, parse."""

from ratchet.answer.answering import answer_example, draw, told, whole
from ratchet.answer.forms import parse_answer
from ratchet.answer.gathering import Gathered, gather
from ratchet.answer.messages import (
    Prompt,
    signature,
    starting_candidate,
    with_model,
    written_answer,
)
from ratchet.answer.template import Template

__all__ = [
    "Gathered",
    "Prompt",
    "Template",
    "answer_example",
    "draw",
    "gather",
    "parse_answer",
    "signature",
    "starting_candidate",
    "told",
    "whole",
    "with_model",
    "written_answer",
]
