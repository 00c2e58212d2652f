"""Commands about serving: `promote` a champion to a release, `serve` releases and models, read the `logs`."""

import json as json_module
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratchet.cli.measuring import Json

if TYPE_CHECKING:
    from ratchet.gateway.http import Application
    from ratchet.store import ServeSettings, Workspace
    from ratchet.store.requests import LoggedRequest

__all__ = ["add_to"]

EVERY_S = 1.0
SLOWEST_S = 300.0
"""A request that began so long ago may still be answered, and its line come late."""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("canary")(canary_)
    for command in (promote, rollback, serve, work, logs):
        app.command()(command)
    keys = typer.Typer(no_args_is_help=True, help="Make, list and revoke keys to the server.")
    keys.command("add")(keys_add)
    keys.command("list")(keys_list)
    keys.command("revoke")(keys_revoke)
    app.add_typer(keys, name="keys")


def promote(
    task: str,
    candidate: Annotated[
        str | None,
        typer.Option(help="A file, its stem, a label, an id, 'start' or 'champion' (the default)."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", help="The name to serve it under; by default the task's.")
    ] = None,
    canary: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            help="Answer this share of the requests by it, in per cent, beside what is served; feedback decides.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Serve a champion under a name: a running server takes it over within seconds."""
    from ratchet.cli.show import out, print_command, print_json
    from ratchet.ladder import start_canary
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    if canary is not None:
        release = start_canary(
            bench.engine, bench.candidate(candidate), name=name or task, share=canary / 100
        )
    else:
        release = bench.promote(candidate, name=name)
    if json:
        print_json(release.model_dump(mode="json"))
        return
    out.print(
        f"{release.name}: release {release.number} is {release.candidate.id} ({release.candidate.note or release.candidate.model})"
    )
    if release.canary:
        print_command(
            "canary", release.name, before=f"canary: {release.why}; see how it does with: "
        )
    print_command("serve", after=f", and ask for the model {release.name!r}")


def canary_(
    name: Annotated[str, typer.Argument(help="The release.")],
    json: Json = False,
) -> None:
    """How does a canary do? What people said of both candidates' answers, looked at all along, and what it proves."""
    from ratchet.cli.show import out, print_json
    from ratchet.ladder import canary_test, current
    from ratchet.store import find_workspace

    engine = find_workspace(Path()).database
    release = current(engine, name)
    found = canary_test(engine, release)
    if json:
        print_json({**vars(found), "word": found.word, "share": release.share})
        return
    assert release.canary  # `canary_test` has looked
    for who, (count, mean) in ((release.candidate, found.old), (release.canary, found.new)):
        score = (
            "no word yet" if not count else f"{100 * mean:.1f} of 100 in {count} words of feedback"
        )
        out.print(f"{who.id}  {score}")
    out.print(f"[bold]{found.word}[/]: {found.wins} pairs won, {found.losses} lost (evidence against it {found.against:.2g}, for it {found.for_it:.2g}; 20 settles)")  # fmt: skip


def rollback(
    name: Annotated[str, typer.Argument(help="The release.")],
    why: Annotated[str, typer.Option(help="What is written down as the reason.")] = "by hand",
    json: Json = False,
) -> None:
    """End a release's canary; without one, serve again what was served before."""
    from ratchet.cli.show import out, print_json
    from ratchet.ladder import roll_back
    from ratchet.store import find_workspace

    release = roll_back(find_workspace(Path()).database, name, why=why)
    if json:
        print_json(release.model_dump(mode="json"))
        return
    out.print(f"{release.name}: release {release.number} is {release.candidate.id}; {release.why}")


def serve(
    host: Annotated[
        str, typer.Option(help="Without keys, a loopback address alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8100,
    workers: Annotated[
        bool, typer.Option(help="Run fine-tuning jobs here; without it, start `ratchet work`.")
    ] = True,
    page: Annotated[bool, typer.Option(help="Serve the web page too.")] = True,
) -> None:
    """Serve releases and models behind an OpenAI-compatible endpoint, log what passes, and show the web page on the same port."""
    from ratchet.cli.show import out
    from ratchet.core.errors import UsageError
    from ratchet.store import find_workspace, load_releases
    from ratchet.store.keys import load_keys
    from ratchet.store.people import load_people

    try:
        from ratchet.gateway import configure_traces, make_gateway
        from ratchet.gateway.origin import HostGuard
        from ratchet.jobs.queue import Queue, Worker
    except ImportError as error:
        raise UsageError(
            f"the server needs the extra 'serve' ({error}); install it with: pip install 'ratchet[serve]'"
        ) from error
    workspace = find_workspace(Path())
    workspace.check_writable()
    engine = workspace.database
    has_keys, alone = bool(load_keys(engine)), is_loopback(host)
    if not has_keys and not alone:
        raise UsageError(
            f"{host} can be reached by others, and there are no API keys yet: make one with `ratchet keys add NAME`, or serve on 127.0.0.1"
        )
    configure_traces()
    queue = Queue(workspace)
    gateway = make_gateway(workspace, queue)
    settings = workspace.settings.serve
    served_app: Application = gateway
    if page:
        from ratchet.web import make_page

        served_app = make_page(workspace, gateway, alone=alone)
    elif alone or settings.hosts:
        served_app = HostGuard(gateway, settings.hosts)
    who = "with keys" if has_keys else "for this machine alone (no keys)"
    served = {release.name: release for release in load_releases(engine)}
    logging = {
        "fast": "the log is fast: a power cut loses the last moment of it, a kill nothing",
        "durable": "the log is durable: no reply ends before it is in it",
    }[settings.log]
    if page:
        people = load_people(engine)
        whose = f"{len(people)} people may log in" if people else "for this machine alone, no login" if alone else "closed until there is an admin: ratchet people add NAME --role admin"  # fmt: skip
        out.print(f"the page: http://{host}:{port}/, {whose}")
    out.print(f"serving on http://{host}:{port}/v1, {who}; {logging}")
    for one in served.values():
        out.print(
            f"  {one.name}: release {one.number}, {one.candidate.id} on {one.candidate.model}"
        )
    if not served:
        out.print(
            "  no release yet (make one with: ratchet promote TASK); models by their names, as local:nano"
        )
    worker = Worker(workspace) if workers else None
    if worker:
        worker.start()
    try:
        run_server(served_app, host, port, settings)
    finally:
        if worker:
            worker.stop()
        queue.close()


def run_server(app: "Application", host: str, port: int, settings: "ServeSettings") -> None:
    """Answer until the process is told to end."""
    import uvicorn

    from ratchet.gateway.connections import ConnectionLimits, make_protocol, raise_file_limit
    from ratchet.gateway.http import KEEP_ALIVE_S

    raise_file_limit()
    limits = ConnectionLimits(
        header_s=settings.header_timeout_s,
        body_s=settings.body_timeout_s,
        write_s=settings.write_timeout_s,
        connections=settings.max_connections,
    )
    uvicorn.run(
        app,
        host=host,
        port=port,
        http=make_protocol(limits),
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=60,
        timeout_keep_alive=KEEP_ALIVE_S,
        server_header=False,
        proxy_headers=False,
    )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address.

    Raises: UsageError if it is none.
    """
    from ipaddress import ip_address
    from socket import gaierror, gethostbyname

    from ratchet.core.errors import UsageError

    try:
        return ip_address(gethostbyname(host) if not is_address(host) else host).is_loopback
    except gaierror as error:
        raise UsageError(f"--host {host!r} is no address of this machine: {error}") from error


def is_address(host: str) -> bool:
    from ipaddress import ip_address

    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def work(
    name: Annotated[
        str, typer.Option(help="Workers of different names share the queue (PostgreSQL).")
    ] = "worker",
) -> None:
    """Run fine-tuning jobs from the queue, one after another, until it is stopped; what it leaves goes on later."""
    from ratchet.cli.show import out
    from ratchet.jobs.queue import work as take_jobs
    from ratchet.store import find_workspace

    find_workspace(Path()).check_writable()
    take_jobs(Path(), name, ready=lambda: out.print(f"{name}: waiting for jobs"))


def logs(
    model: Annotated[str | None, typer.Option(help="Only this model or release.")] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only requests that got an error.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many to print.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", help="Go on printing as they come.")] = False,
    export: Annotated[Path | None, typer.Option(help="Write all of them to a .jsonl file.")] = None,
    json: Json = False,
) -> None:
    """Show what passed through the server, the newest first: who answered, how it ended, tokens, cost, latency, feedback."""
    from dataclasses import asdict

    from ratchet.cli.show import out, print_json
    from ratchet.core.errors import UsageError
    from ratchet.store import find_workspace
    from ratchet.store.requests import read_requests

    workspace = find_workspace(Path())
    engine = workspace.database
    if export:
        if export.suffix != ".jsonl":
            raise UsageError(f"{export}: logs are written as .jsonl")
        count = 0
        with export.open("w", encoding="utf-8") as file:
            for one in read_requests(engine, model=model, failed=failed, after=0.0):
                file.write(json_module.dumps(asdict(one), ensure_ascii=False) + "\n")
                count += 1
        out.print(f"{export}: {count} requests")
        return
    started = time.time()
    tell_of_refused(workspace)
    found = list(read_requests(engine, model=model, failed=failed, limit=limit))
    if json:
        print_json([asdict(one) for one in found])
        return
    if not follow:
        out.print(logs_table(found))
        return
    shown = {one.id: one.at for one in found}
    for one in reversed(found):
        out.print(line_of(one), markup=False)
    while True:
        since = max(shown.values(), default=time.time()) - SLOWEST_S
        for one in read_requests(engine, model=model, failed=failed, after=since):
            if one.id not in shown and one.at > started - SLOWEST_S:
                out.print(line_of(one), markup=False)
                shown[one.id] = one.at
        shown = {request: at for request, at in shown.items() if at >= since}
        time.sleep(EVERY_S)


def tell_of_refused(workspace: "Workspace") -> None:
    """Say how many requests are not in the log because the database refused them, and where they are."""
    from ratchet.cli.show import err
    from ratchet.store.request_writer import REFUSED_FILE, count_refused

    if count := count_refused(workspace.log_folder):
        err.print(
            f"{count} requests are not in the log, as the database refused them; they are in {workspace.log_folder / REFUSED_FILE}, each with the reason",
            style="yellow",
            markup=False,
        )


def cells_of(one: "LoggedRequest") -> tuple[str, ...]:
    from ratchet.ladder import cost_text

    said = ", ".join(f"{name} {value}" for each in one.feedback for name, value in each.items())
    return (
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.at)),
        one.id,
        one.model,
        str(one.status),
        f"{one.prompt_tokens} + {one.completion_tokens}",
        cost_text(one.cost_usd),
        f"{one.latency_s:.2f}",
        said or one.problem or "",
    )


def line_of(one: "LoggedRequest") -> str:
    return "  ".join(cells_of(one))


def logs_table(found: "list[LoggedRequest]") -> object:
    from rich.box import SIMPLE_HEAD
    from rich.text import Text

    from ratchet.cli.terminal import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in (
        "when",
        "id",
        "model",
        "status",
        "tokens",
        "cost",
        "s",
        "feedback, or what went wrong",
    ):
        table.add_column(
            name, justify="right" if name in ("status", "tokens", "cost", "s") else "left"
        )
    for one in found:
        table.add_row(*map(Text, cells_of(one)))
    return table


def keys_add(
    name: str,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="chat (the default), tune or admin; give it again for more."),
    ] = None,
    days: Annotated[float | None, typer.Option(min=0, help="After so many days it ends.")] = None,
    per_minute: Annotated[
        float | None, typer.Option(min=0.01, help="At most so many requests a minute.")
    ] = None,
    usd_a_day: Annotated[
        float | None, typer.Option(min=0, help="At most so many dollars in 24 hours.")
    ] = None,
) -> None:
    """Make a key, and show it: this once. From the first key on the server asks everyone for one."""
    from ratchet.cli.show import err
    from ratchet.store import find_workspace
    from ratchet.store.keys import add_key

    key = add_key(
        find_workspace(Path()).database,
        name,
        tuple(scope or ("chat",)),
        days=days,
        requests_a_minute=per_minute,
        usd_a_day=usd_a_day,
    )
    print(key)
    err.print(f"the key of {name}; only its hash is kept, so note it now", style="dim")


def keys_list(json: Json = False) -> None:
    """List keys: whose, for what, until when."""
    from rich.box import SIMPLE_HEAD
    from rich.text import Text

    from ratchet.cli.show import out, print_json
    from ratchet.cli.terminal import Table
    from ratchet.store import find_workspace
    from ratchet.store.keys import load_keys

    found, now = load_keys(find_workspace(Path()).database), time.time()
    rows = [
        {
            "name": key.name,
            "scopes": ", ".join(key.scopes),
            "made": day(key.created_at),
            "ends": day(key.expires_at),
            "state": "good" if key.is_good(now) else "revoked" if key.revoked_at else "expired",
        }
        for key in found
    ]
    if json:
        print_json(rows)
        return
    table = Table("name", "scopes", "made", "ends", "state", box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(value or "never") for value in row.values()))
    out.print(table if rows else "no keys: the server listens to this machine alone")


def keys_revoke(name: str) -> None:
    """End a key for good; a running server knows within seconds."""
    from ratchet.cli.show import out
    from ratchet.store import find_workspace
    from ratchet.store.keys import revoke_key

    revoke_key(find_workspace(Path()).database, name)
    out.print(f"{name}: revoked")


def day(moment: float | None) -> str | None:
    return None if moment is None else time.strftime("%Y-%m-%d", time.localtime(moment))
