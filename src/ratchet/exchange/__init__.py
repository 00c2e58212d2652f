"""Other programs' files: what they call a prompt, a program or a test suite, read and written. Nothing here calls a model."""

from ratchet.exchange.dspy import Program, dspy_program, program_candidate, read_program
from ratchet.exchange.losses import Loss, Losses
from ratchet.exchange.openai_evals import read_evals
from ratchet.exchange.promptfoo import Suite, promptfoo_files, read_suite
from ratchet.exchange.promptfoo.providers import Endpoint
from ratchet.exchange.prompts import FORMATS, unsaid, written_prompt

__all__ = [
    "FORMATS",
    "Endpoint",
    "Loss",
    "Losses",
    "Program",
    "Suite",
    "dspy_program",
    "program_candidate",
    "promptfoo_files",
    "read_evals",
    "read_program",
    "read_suite",
    "unsaid",
    "written_prompt",
]
