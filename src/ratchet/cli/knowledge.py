"""Commands about knowledge: `knowledge add` documents, `list` versions, `search` them, and `score` the search against judgements."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from ratchet.cli.measuring import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratchet.measure.search import JudgedQuery
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
Figures = dict[str, tuple[float, float, float]]
"""Of each metric its mean over queries, and the ends of its interval."""
DEPTHS = "MRR and MAP of a run go as deep as it does; those of a search, 100 deep"


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
    name: Annotated[
        str, typer.Argument(help="A knowledge base, as docs, or docs@2; left out with --run.")
    ],
    judged: Annotated[
        Path | None,
        typer.Argument(
            help="Judgements: a .jsonl file (query, and relevant: sources or titles as a list, or as an object with grades), or TREC's qrels."
        ),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(
            "--run",
            help="A ranking that was made elsewhere, in TREC's form: query Q0 document rank score tag; give it again for more.",
        ),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(help="The texts of queries that judgements name by id: id<tab>text, or JSON."),
    ] = None,
    k: Annotated[int, typer.Option(min=1, help="How deep.")] = 10,
    embedding: Embedding = "local:minilm",
    language: Language = "english",
    modes: Annotated[str, typer.Option(help="With commas.")] = "lexical,dense,hybrid",
    json: Json = False,
) -> None:
    """How good is the search, or a ranking from elsewhere? Recall, precision, MRR, MAP and nDCG, as trec_eval computes them, with
    intervals.
    """
    from ratchet.cli.show import print_json, warn
    from ratchet.core.errors import UsageError
    from ratchet.measure.search import judged_queries, run_scores
    from ratchet.measure.trec import read_run

    if judged is None and not run:
        raise UsageError(
            "name a knowledge base and a file of judgements, or a file of judgements with --run FILE"
        )
    known = judged_queries(judged or Path(name), queries)
    found: dict[str, Figures] = {}
    for path in run or ():
        ranking = read_run(path)
        label = ranking.tag if ranking.tag not in found else str(path)
        found[label], notes = run_scores(ranking, known, k=k)
        warn(notes)
    if judged is not None:
        found |= search_figures(name, known, modes, k=k, embedding=embedding, language=language)
        if run:
            warn([DEPTHS])
    if json:
        print_json({label: figures_plain(figures) for label, figures in found.items()})
        return
    show_figures(found, len(known))


def search_figures(
    name: str,
    queries: "Sequence[JudgedQuery]",
    modes: str,
    *,
    k: int,
    embedding: str,
    language: str,
) -> "dict[str, Figures]":
    """Return the figures of a knowledge base's search, by mode."""
    from ratchet.core.errors import UsageError
    from ratchet.core.running import run_sync
    from ratchet.measure.search import search_scores
    from ratchet.models import workspace_pool
    from ratchet.retrieval import Library
    from ratchet.store import find_workspace

    wanted = [mode for mode in modes.replace(" ", "").split(",") if mode]
    chosen = [mode for mode in get_args(Modes) if mode in wanted]
    if not chosen or set(wanted) - set(chosen):
        raise UsageError(f"--modes is some of {', '.join(get_args(Modes))}; got {modes!r}")
    if any(not one.query for one in queries):
        raise UsageError(
            "these judgements name queries by their ids alone; name the file of their texts with --queries FILE"
        )
    workspace = find_workspace(Path())

    async def work() -> "dict[str, Figures]":
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

    return run_sync(work())


def figures_plain(figures: Figures) -> dict[str, dict[str, float]]:
    """Return figures as JSON values."""
    return {
        figure: dict(zip(("mean", "low", "high"), values, strict=True))
        for figure, values in figures.items()
    }


def show_figures(found: dict[str, Figures], count: int) -> None:
    """Print figures, a mode or run a line."""
    from rich.text import Text

    from ratchet.cli.show import out
    from ratchet.cli.terminal import Table

    title = f"{count} {'query' if count == 1 else 'queries'}"
    table = Table("ranking", *next(iter(found.values()), {}), title=title)
    for label, figures in found.items():
        cells = (f"{mean:.3f} [{low:.3f}, {high:.3f}]" for mean, low, high in figures.values())
        table.add_row(Text(label), *map(Text, cells))
    out.print(table)
