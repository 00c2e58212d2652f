r"""What every template shares: the names that a task keeps for itself, and how text of data is written so that it stays text.

In a template `\{{` is the two braces themselves. A run of backslashes before `{{` is read in pairs, as in a quoted string:
`\\{{name}}` is one backslash and the value of `name`.
"""

import re

__all__ = ["RESERVED_NAMES", "escape_template"]

RESERVED_NAMES = ("instructions", "labels", "schema", "absent", "passages", "this", "else")
"""Names that mean something else in a template, so that no input may have them."""


def escape_template(text: str) -> str:
    """Return a template that renders as `text`, whatever braces and backslashes it holds."""
    return re.sub(r"(\\*)\{\{", lambda found: found[1] * 2 + r"\{{", text)
