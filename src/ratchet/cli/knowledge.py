"""Commands about knowledge: `knowledge add` documents, `list` versions, `search` them, and `score` the search against judgements."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from ratchet.cli.measuring import Json

if TYPE_CHECKING:
    from ratchet.retrieval import Found

__all__ = ["add_to"]

Modes = Literal["lexical", "dense", "hybrid"]
Mode = Annotated[
    Modes,
    typer.Option(help="By words (BM25), by meaning (vectors), or both, their ranks fused."),
]
Embedding = Annotated[
    str, typer.Option(help="Who embeds: local:minilm, local:<folder> or <endpoint>/<model>.")
]
Language = Annotated[str, typer.Option(help="Of the words, for search by words: english, german …")]
TELLING = 300


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    knowledge = typer.Typer(
        help="Knowledge bases: documents as passages that can be searched.", no_args_is_help=True
    )
    knowledge.command()(add)
    knowledge.command("list")(list_)
    knowledge.command()(search)
    knowledge.command()(score)
    app.add_typer(knowledge, name="knowledge")


def add(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Files and folders: md, txt, html, pdf, docx, csv, tsv, jsonl, sqlite."
        ),
    ],
    name: Annotated[str, typer.Option(help="The knowledge base.")] = "docs",
    by: Annotated[
        Literal["heading", "sentence", "window"] | None,
        typer.Option(help="Cut by heading (the default), by sentence, or by windows of words."),
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="Words of a passage, at most; by default 180.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="Words that passages share; by default 30.")
    ] = None,
    embedding: Embedding = "local:minilm",
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Leave out what the version before has from other files."),
    ] = False,
    json: Json = False,
) -> None:
    """Read documents into the next version of a knowledge base; only what is new is embedded. Run it again to go on."""
    from rich.text import Text

    from ratchet.cli.show import bars, out, print_command, print_json
    from ratchet.core import Chunking
    from ratchet.core.errors import UnknownModelError
    from ratchet.core.running import run_sync
    from ratchet.models import workspace_pool
    from ratchet.retrieval import Library, add_documents
    from ratchet.store import find_workspace

    workspace = find_workspace(Path())
    given = {"by": by, "size": size, "overlap": overlap}
    chosen = {part: value for part, value in given.items() if value is not None}
    chunking = Chunking.model_validate(chosen) if chosen else None

    async def embedded() -> int:
        async with workspace_pool(workspace) as pool:
            with bars() as shown:
                return await Library(workspace.database, pool).embed(
                    added.knowledge, embedding, watch=partial(shown.counts, "embedding")
                )

    with workspace.held():
        added = add_documents(
            workspace.database, name, paths, chunking=chunking, fresh=fresh, root=workspace.root
        )
        note = ""
        try:
            count = run_sync(embedded())
        except UnknownModelError as missing:
            count, note = 0, f"not embedded: {missing}"
    version = added.knowledge
    if json:
        print_json(
            {
                **version.model_dump(mode="json"),
                "new": added.new,
                "gone": added.gone,
                "embedded": count,
                "problems": [*added.problems, *([note] if note else [])],
            }
        )
        return
    for problem in added.problems:
        out.print(Text(f"left out: {problem}"), style="yellow")
    out.print(
        f"{version.name}@{version.version}: {version.passages:,} passages of {version.sources} files; {added.new:,} new, {added.gone:,} gone, {count:,} embedded"
    )
    if note:
        out.print(Text(note), style="yellow")
    print_command("knowledge", "search", version.name, "…")


def list_(json: Json = False) -> None:
    """List knowledge bases and their versions."""
    from ratchet.cli.show import out, print_json
    from ratchet.cli.terminal import Table
    from ratchet.store import find_workspace
    from ratchet.store.knowledge import list_knowledge

    found = list_knowledge(find_workspace(Path()).database)
    if json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    table = Table("knowledge", "passages", "files", "cut by", "id")
    for one in found:
        cut = f"{one.chunking.by}, {one.chunking.size} words"
        table.add_row(
            f"{one.name}@{one.version}", f"{one.passages:,}", str(one.sources), cut, one.id
        )
    out.print(table)


def search(
    name: Annotated[str, typer.Argument(help="A knowledge base, as docs, or docs@2.")],
    query: str,
    k: Annotated[int, typer.Option(min=1, help="How many passages.")] = 5,
    mode: Mode = "hybrid",
    embedding: Embedding = "local:minilm",
    language: Language = "english",
    where: Annotated[
        list[str] | None,
        typer.Option(help="Only passages with this: source=…, date=…, or a column's name=value."),
    ] = None,
    json: Json = False,
) -> None:
    """Show the passages that fit a query best."""
    from rich.text import Text

    from ratchet.cli.show import out, print_json
    from ratchet.core.errors import UsageError
    from ratchet.core.running import run_sync
    from ratchet.models import workspace_pool
    from ratchet.retrieval import Library
    from ratchet.store import find_workspace

    workspace = find_workspace(Path())
    if odd := [one for one in where or () if "=" not in one]:
        raise UsageError(f"--where is name=value; got {odd[0]!r}")
    wanted = dict(one.split("=", 1) for one in where or ())

    async def work() -> "list[Found]":
        async with workspace_pool(workspace) as pool:
            library = Library(workspace.database, pool)
            return await library.search(
                name,
                query,
                mode=mode,
                k=k,
                embedding=embedding,
                where=wanted,
                language=language,
            )

    found = run_sync(work())
    if json:
        print_json([{**one.passage.model_dump(mode="json"), "id": one.passage.id, "score": one.score} for one in found])  # fmt: skip
        return
    if not found:
        out.print("nothing was found")
    for number, one in enumerate(found, start=1):
        head = " · ".join(part for part in (one.passage.title, one.passage.section) if part)
        out.rule(f"{number}  {one.score:.4g}  {one.passage.source}  {head}", align="left")
        out.print(
            Text(one.passage.text[:TELLING] + ("…" if len(one.passage.text) > TELLING else ""))
        )


def score(
    name: Annotated[str, typer.Argument(help="A knowledge base, as docs, or docs@2.")],
    judged: Annotated[
        Path,
        typer.Argument(
            help="A .jsonl file: query, and relevant: sources (or titles) as a list, or as an object with grades."
        ),
    ],
    k: Annotated[int, typer.Option(min=1, help="How deep.")] = 10,
    embedding: Embedding = "local:minilm",
    language: Language = "english",
    modes: Annotated[str, typer.Option(help="With commas.")] = "lexical,dense,hybrid",
    json: Json = False,
) -> None:
    """How good is the search? Recall, precision, MRR, MAP and nDCG of each mode, as trec_eval computes them, with intervals."""
    from rich.text import Text

    from ratchet.cli.show import out, print_json
    from ratchet.cli.terminal import Table
    from ratchet.core.errors import UsageError
    from ratchet.core.running import run_sync
    from ratchet.measure.search import judged_queries, search_scores
    from ratchet.models import workspace_pool
    from ratchet.retrieval import Library
    from ratchet.store import find_workspace

    workspace = find_workspace(Path())
    queries = judged_queries(judged)
    wanted = [mode for mode in modes.replace(" ", "").split(",") if mode]
    chosen = [mode for mode in get_args(Modes) if mode in wanted]
    if not chosen or set(wanted) - set(chosen):
        raise UsageError(f"--modes is some of {', '.join(get_args(Modes))}; got {modes!r}")

    async def work() -> "dict[str, dict[str, tuple[float, float, float]]]":
        async with workspace_pool(workspace) as pool:
            library = Library(workspace.database, pool)
            return {
                mode: await search_scores(
                    library,
                    name,
                    queries,
                    mode=mode,
                    k=k,
                    embedding=embedding,
                    language=language,
                )
                for mode in chosen
            }

    found = run_sync(work())
    if json:
        print_json(
            {
                mode: {figure: dict(zip(("mean", "low", "high"), values, strict=True)) for figure, values in figures.items()}
                for mode, figures in found.items()
            }
        )  # fmt: skip
        return
    table = Table("mode", *next(iter(found.values()), {}), title=f"{len(queries)} queries")
    for mode, figures in found.items():
        table.add_row(
            mode, *(Text(f"{m:.3f} [{lo:.3f}, {hi:.3f}]") for m, lo, hi in figures.values())
        )
    out.print(table)
