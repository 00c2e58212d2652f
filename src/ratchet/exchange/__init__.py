"""Other programs' files: what they call a prompt, a program or a test suite, read and written. Nothing here calls a model."""

from ratchet.exchange.dspy import Program, dspy_program, program_candidate, read_program
from ratchet.exchange.promptfoo import Suite, promptfoo_files, read_suite
from ratchet.exchange.prompts import FORMATS, unsaid, written_prompt

__all__ = [
    "FORMATS",
    "Program",
    "Suite",
    "dspy_program",
    "program_candidate",
    "promptfoo_files",
    "read_program",
    "read_suite",
    "unsaid",
    "written_prompt",
]
