"""Cells that a spreadsheet would run as formulas: guarded wherever a CSV is written."""

__all__ = ["guard_cell"]

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a formula begins with, by one program or another."""


def guard_cell(text: str) -> str:
    """Return a cell that no spreadsheet runs: an apostrophe stands before what looks like a formula; a plain number stays one."""
    if not text.startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
