"""The SQL query that stands in a reply: in a fence, behind `SQL:`, in a sentence, with words before and after it."""

import logging
import re
from collections.abc import Iterator

__all__ = ["QueryError", "check_reads", "join_operators", "query_in", "replace_outside_texts"]

_FENCE = re.compile(r"```[ \t]*(\w*)[^\S\n]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LABEL = re.compile(
    r"^[ \t>*_#-]{0,20}(?:(?:the\s+|final\s+)?(?:sql(?:ite|\s+query)?|query|answer|postgres(?:ql)?|statement))\s*[*_]*\s*[:=]\s*[*_]*",
    re.IGNORECASE | re.MULTILINE,
)
_KEYWORD = re.compile(r"(?<![\w\"'`.])(?:SELECT|WITH|VALUES)\b", re.IGNORECASE)
_STATEMENT = re.compile(
    r"\s*(?:SELECT|WITH|INSERT|UPDATE|DELETE|DROP|CREATE|ALTER|ATTACH|DETACH|PRAGMA|REPLACE|VACUUM|VALUES"
    r"|select|with|insert|update|delete|drop|create|alter|attach|detach|pragma|replace|vacuum|values)\b"
)
_WRITES = re.compile(
    r"(?:^|[(;])\s*(?:INSERT|UPDATE|DELETE|DROP|CREATE|ALTER|ATTACH|PRAGMA|REPLACE|EXPLAIN)\b",
    re.MULTILINE,
)
_COMMON_TABLE = re.compile(
    r"WITH\s+(?:RECURSIVE\s+)?[\w\"`\[\]]+\s*(?:\([^()]*\)\s*)?AS\b", re.IGNORECASE
)
_LEXEME = re.compile(
    r"""
      '(?:[^']|'')*'?            # a text
    | "(?:[^"]|"")*"?            # a name, or a text to SQLite
    | `[^`]*`? | \[[^\]]*\]?     # a name
    | --[^\n]* | /\*.*?(?:\*/|\Z)
    | (?P<end>;)
    | (?P<blank>\n[ \t]*\n)
    | (?P<operator>[<>!])\s+=
    """,
    re.VERBOSE | re.DOTALL,
)
MAX_STARTS = 20
"""Places of a reply where a query is looked for."""


class QueryError(Exception):
    """A query that cannot be run; its text is meant for who wrote the query."""


def query_in(text: str, dialect: str = "sqlite") -> str:
    """Return the query of a reply, without a semicolon at its end; where nothing in it reads, what most likely was meant to.

    Fences of SQL come first, then other fences, what a label such as `SQL:` announces, code inside a line, the whole reply, and
    what begins with SELECT, WITH or VALUES, up to a semicolon or an empty line. The first that is one reading statement is it.
    """
    first = None
    for candidate in _candidates(text):
        query = join_operators(candidate.strip().rstrip(";").strip())
        if not query:
            continue
        first = first or query
        try:
            check_reads(query, dialect)
        except QueryError:
            continue
        return query
    return first or ""


def join_operators(query: str) -> str:
    """Return a query with `> =`, `< =` and `! =` as one operator, outside texts, names and comments."""
    return _LEXEME.sub(
        lambda found: f"{found['operator']}=" if found["operator"] else found.group(), query
    )


def replace_outside_texts(query: str, pattern: re.Pattern[str], replacement: str) -> str:
    """Return a query with what a pattern finds replaced, outside texts, names and comments."""
    parts, place = [], 0
    for found in _LEXEME.finditer(query):
        if found.lastgroup is None:  # a text, a name or a comment
            parts += [pattern.sub(replacement, query[place : found.start()]), found.group()]
            place = found.end()
    return "".join([*parts, pattern.sub(replacement, query[place:])])


def _candidates(text: str) -> Iterator[str]:
    fences = [(found.group(1), found.group(2)) for found in _FENCE.finditer(text)]
    fences.sort(key=lambda fence: "sql" not in fence[0].lower())
    for language, body in fences:
        is_word_of_query = _KEYWORD.fullmatch(language) is not None
        whole = (
            f"{language} {body}" if is_word_of_query else body
        )  # a fence of one line without a language
        yield whole
        yield from _statements(whole)
    if fences:
        return
    yield text
    for found in list(_LABEL.finditer(text))[:MAX_STARTS]:
        yield _until_end(text[found.end() :].strip("`* \n"))
    yield from (
        found.group(1) for found in _INLINE.finditer(text) if _KEYWORD.match(found.group(1))
    )
    yield from _statements(text)


def _statements(text: str) -> Iterator[str]:
    """Yield what begins with a word that a query begins with, up to where it ends.

    Inside a sentence that word is in capitals. Behind a start that came to nothing only a fresh one counts (behind a colon or an
    empty line), and none behind a statement that writes or a WITH: a part of a query that does not read is not the answer.
    """
    is_first = True
    for found in list(_KEYWORD.finditer(text))[:MAX_STARTS]:
        before = text[: found.start()].rstrip(" \t")
        is_fresh = not before or before[-1] in ":`" or before.endswith("\n\n")
        begins = is_fresh or before[-1] == "\n" or found.group().isupper()
        if _WRITES.search(before) or before.endswith((";", "(")):
            return
        if not begins or not (is_first or is_fresh):
            continue
        yield _until_end(text[found.start() :])
        if _COMMON_TABLE.match(text, found.start()):
            return
        is_first = False


def _until_end(text: str) -> str:
    """Return text up to a semicolon or an empty line that stands outside texts and names."""
    for found in _LEXEME.finditer(text):
        if found["blank"] or (found["end"] and not _STATEMENT.match(text, found.end())):
            return text[: found.start()]
    return text


def check_reads(query: str, dialect: str = "sqlite") -> None:
    """Refuse what is not one reading statement.

    Raises: QueryError.
    """
    import sqlglot  # takes a moment, and most tasks have no SQL
    from sqlglot import errors, exp

    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # a model's odd SQL is no news
    try:
        statements = [
            statement
            for statement in sqlglot.parse(join_operators(query), read=dialect)
            if statement is not None
        ]
    except (errors.SqlglotError, RecursionError) as error:
        raise QueryError(f"it does not parse: {str(error).splitlines()[0][:300]}") from error
    if len(statements) != 1:
        raise QueryError(f"it must be one statement, and is {len(statements)}")
    if not isinstance(statements[0], exp.Query):
        raise QueryError("it must be a SELECT: the database is there for reading alone")
    if any(statements[0].find_all(exp.Insert, exp.Update, exp.Delete, exp.Into)):
        raise QueryError("it must read, and write nothing")
