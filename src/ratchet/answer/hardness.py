"""How hard a query is, by what it is made of: the four levels of the Spider benchmark (Yu et al. 2018), counted on the parsed query."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sqlglot.expressions import Expression

__all__ = ["Hardness", "hardness"]

Hardness = Literal["easy", "medium", "hard", "extra"]


def hardness(query: str) -> Hardness | None:
    """Return the level of a query; None where it does not parse.

    Three counts decide, as in Spider's evaluation: clauses and joins of the outer query with `OR` and `LIKE`, queries inside it,
    and lists that are longer than one (aggregates, columns, conditions, groups).
    """
    import sqlglot  # takes a moment, and most tasks have no SQL
    from sqlglot import errors, exp

    try:
        tree = sqlglot.parse_one(query, read="sqlite")
    except (errors.SqlglotError, RecursionError):
        return None
    nested = len(list(tree.find_all(exp.SetOperation))) + sum(
        1 for one in tree.find_all(exp.Subquery, exp.Exists) if one.find(exp.Select)
    )
    nested += sum(1 for one in tree.find_all(exp.In) if one.args.get("query") and not isinstance(one.args["query"], exp.Subquery))  # fmt: skip
    outer = tree
    while isinstance(outer, exp.SetOperation | exp.Subquery):
        outer = outer.this
    if not isinstance(outer, exp.Select):
        return None
    clauses, lists = counts(outer)
    return level(clauses, nested, lists)


def counts(query: "Expression") -> tuple[int, int]:
    """Return how many clauses, joins, `OR` and `LIKE` a query has, and how many of its lists have more than one part."""
    from sqlglot import exp

    own = [one for one in query.walk(prune=lambda node: node is not query and isinstance(node, exp.Select)) if one is not query]  # fmt: skip
    present = sum(bool(query.args.get(name)) for name in ("where", "group", "order", "limit"))
    joins = len(query.args.get("joins") or [])
    conditions = [
        one for one in own if isinstance(one, exp.Predicate) and not isinstance(one, exp.Exists)
    ]
    where = query.args.get("where")
    filters = [one for one in conditions if where is not None and one.find_ancestor(exp.Where)]
    clauses = present + joins + sum(isinstance(one, exp.Or | exp.Like) for one in own)
    group = query.args.get("group")
    lists = (
        (sum(isinstance(one, exp.AggFunc) for one in own) > 1)
        + (len(query.expressions) > 1)
        + (len(filters) > 1)
        + (group is not None and len(group.expressions) > 1)
    )
    return clauses, lists


def level(clauses: int, nested: int, lists: int) -> Hardness:
    if clauses <= 1 and lists == 0 and nested == 0:
        return "easy"
    if nested == 0 and ((lists <= 2 and clauses <= 1) or (clauses <= 2 and lists < 2)):
        return "medium"
    if (
        (nested == 0 and lists > 2 and clauses <= 2)
        or (nested == 0 and 2 < clauses <= 3 and lists <= 2)
        or (nested <= 1 and clauses <= 1 and lists == 0)
    ):
        return "hard"
    return "extra"
