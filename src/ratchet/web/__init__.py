"""The page: every lever for people who do not write code; a thin face over the same functions as the command line."""

from ratchet.web.app import make_page

__all__ = ["make_page"]
