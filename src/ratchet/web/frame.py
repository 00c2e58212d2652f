"""The frame of every view: who is there, where one can go, what goes wrong, and the command that does the same."""

import asyncio
import shlex
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial, wraps
from hashlib import sha256
from inspect import signature
from pathlib import Path
from typing import Any

from nicegui import app, events, ui

from ratchet.core.errors import RatchetError, UsageError
from ratchet.jobs.commands import start_run, unfinished
from ratchet.ladder import login_name
from ratchet.models import ModelPool
from ratchet.store import Workspace, latest_dataset
from ratchet.store.people import Person, Role, load_people
from ratchet.web.alarms import Alarms
from ratchet.workbench import Workbench

__all__ = [
    "BLUE",
    "GREEN",
    "RED",
    "Page",
    "chooser",
    "counted",
    "glossary",
    "hint",
    "points",
    "table",
    "title",
    "when",
]

VIEWS = {
    "examples": "Examples",
    "playground": "Playground",
    "compare": "Compare",
    "ladder": "Ladder",
    "tune": "Fine-tunes",
    "knowledge": "Knowledge",
    "rating": "Rating",
    "release": "Release and log",
}
WORDS = {
    "candidate": "one complete way of doing the task: a model, its prompt, the examples that it is shown, and its settings",
    "champion": "the candidate that stands: the start, or the last one that was proven better",
    "challenger": "a candidate that is compared with the champion, both on the same examples",
    "verdict": "what the comparison proves: better, worse, not worse, or that there is no evidence yet",
    "interval": "where the true value lies with 95 % certainty; an interval of a difference that leaves out 0 is a proof",
    "lever": "a kind of change that may help: prompt, shown examples (demos), retrieval, decoding, another model, fine-tuning (tune)",
    "rung": "one challenger on the ladder, with its verdict: kept or dropped",
    "train, dev, test": "examples to learn from, to compare on, and sealed ones that are opened once, at the end",
}
HEAD = """
<style>
  body { font-family: system-ui, sans-serif; }
  .q-loading-bar { display: none; }
  .mono { font-family: ui-monospace, monospace; font-size: 0.85rem; overflow-wrap: anywhere; }
  .said { white-space: pre-wrap; overflow-wrap: anywhere; }
  ins { background: #1b7f3b33; text-decoration: none; } del { background: #b0202033; }
  .q-table td { max-width: 28rem; white-space: normal; overflow-wrap: anywhere; vertical-align: top; }
  #main a { color: #1a5fb4; }
  .q-notification .q-btn { --q-primary: #fff; color: #fff; }
  .body--dark .q-btn--flat, .body--dark .q-field { --q-primary: #8ab4f8; }
  .body--dark .text-green-800 { color: #7ddc9a; } .body--dark .text-red-700 { color: #ff9a8f; } .body--dark .text-amber-800 { color: #ffc46b; }
  .body--dark #main a { color: #8ab4f8; } .soft { color: #5f6368; } .body--dark .soft { color: #bdc1c6; }
  *:focus-visible { outline: 3px solid #1a73e8; outline-offset: 1px; }
</style>
"""
BLUE, GREEN, RED = "#1a5fb4", "#1b7f3b", "#b02020"
"""Dark enough for white letters on them."""
READY_S = 60.0
"""So long a view may take: a model is loaded, or a large task is opened, for the first one."""
KEPT_S = 7 * 86_400.0
"""So long files stay that came through the page."""
BENCHES = 8
"""Tasks that are kept open."""
Handler = Callable[..., Any]


class Page:
    """What all views share.

    Args:
        workspace: The workspace that is shown.
        pool: Returns the models of the running server.
        alone: Whether only this machine can reach the server: then nobody has to log in until there are people.
    """

    def __init__(self, workspace: Workspace, pool: Callable[[], ModelPool], *, alone: bool) -> None:
        self.workspace, self.pool, self.alone = workspace, pool, alone
        self._benches: dict[str, tuple[object, Workbench]] = {}
        self._opening = asyncio.Lock()
        self.alarms = Alarms(workspace, self.bench)
        self.saving = asyncio.Lock()
        """Held while a version of examples is made."""

    # --- who ---

    def person(self) -> Person | None:
        """Return who is there; on a machine without people, its user."""
        people = load_people(self.workspace.database)
        if not people:
            return Person(name=login_name(), role="admin", digest="", created_at=0.0) if self.alone else None  # fmt: skip
        name, proof = app.storage.user.get("name"), app.storage.user.get("proof")
        return next((p for p in people if (p.name, proof_of(p)) == (name, proof)), None)

    def may(self, role: Role) -> bool:
        """Return whether the one who is there may do what takes that role."""
        person = self.person()
        return person is not None and person.may(role)

    @property
    def who(self) -> str:
        """Return the name of who is there."""
        person = self.person()
        return person.name if person else "nobody"

    # --- views ---

    def view(self, path: str, name: str, *, role: Role = "viewer") -> Callable[[Handler], Handler]:
        """Make a function the view at `path`, for whoever has that role; what it raises of ours is shown in its place."""

        def made(show: Handler) -> Handler:
            @wraps(show)
            async def shown(*args: Any, **parts: Any) -> None:
                person = self.person()
                if person is None:
                    ui.navigate.to("/login")
                    return
                task = parts.get("task")
                if task is not None and task not in self.workspace.task_names():
                    with self.frame(person, None, path):
                        ui.label(f"There is no task {task!r}.").props('role="alert"')
                        ui.link("To the tasks", "/")
                    return
                with self.frame(person, task, path):
                    if not person.may(role):
                        ui.label(f"This takes the role {role}; you are {person.role}.")
                        return
                    await self.safely(show, *args, **parts)

            ui.page(path, title=f"{name} · Ratchet", response_timeout=READY_S)(shown)
            return shown

        return made

    @contextmanager
    def frame(self, person: Person, task: str | None, path: str) -> Iterator[None]:
        """Put a view into the header, the ways to go, and a column."""
        ui.add_head_html(HEAD)
        ui.colors(primary=BLUE, positive=GREEN, negative=RED)
        ui.html('<a href="#main" class="sr-only">Skip to the content</a>', sanitize=False)
        dark = ui.dark_mode(app.storage.user.get("dark"))

        def turn() -> None:
            dark.value = not dark.value
            app.storage.user["dark"] = dark.value

        ways = {words: f"/tasks/{task}/{key}" for key, words in VIEWS.items()} if task else {}
        others = {"Jobs": "/runs", "People and keys": "/people"}
        with ui.header().classes("items-center gap-4 bg-slate-800 text-white"):
            with ui.button(icon="menu").props('flat dense round color=white aria-label="Menu"').classes("lg:hidden"), ui.menu():  # fmt: skip
                for words, where in {**ways, **others}.items():
                    ui.menu_item(words, partial(ui.navigate.to, where))
            ui.link("Ratchet", "/").classes("text-white text-lg font-bold no-underline")
            if task:
                ui.link(task, f"/tasks/{task}/examples").classes("text-white font-medium")
            with ui.row().classes("gap-3 items-center max-lg:hidden").props('role="navigation" aria-label="Main"'):  # fmt: skip
                for words, where in ways.items():
                    here = path.endswith(where.rsplit("/", 1)[-1])
                    look = "text-white" + (" underline font-bold" if here else " no-underline opacity-90")  # fmt: skip
                    link = ui.link(words, where).classes(look)
                    link.props('aria-current="page"') if here else None
            ui.space()
            for words, where in others.items():
                ui.link(words, where).classes("text-white no-underline max-lg:hidden")
            ui.label(person.name if person.digest else "no login").classes("text-sm").tooltip("" if person.digest else "only this machine can reach the page")  # fmt: skip
            if person.digest:
                ui.link("Log out", "/logout").classes("text-white text-sm")
            ui.button(icon="contrast", on_click=turn).props('flat dense round color=white aria-label="Dark or light"')  # fmt: skip
        with ui.column().classes("w-full max-w-screen-xl mx-auto p-4 gap-4").props('id="main"'):  # fmt: skip
            yield

    async def safely(self, work: Handler, *args: Any, **parts: Any) -> Any:
        """Do something; an error of ours is told beside where it happened, and nothing else is lost."""
        try:
            done = work(*args, **parts)
            return await done if isinstance(done, Awaitable) else done
        except RatchetError as error:
            with ui.card().classes("w-full border-l-4 border-red-600").props('role="alert"'):
                ui.label(str(error)).classes("said")
            return None

    def does(self, work: Handler, *, role: Role = "editor") -> Handler:
        """Make a function what an element does: for whoever has the role at that moment, and with errors told."""

        async def guarded(*args: Any) -> None:
            try:
                if not self.may(role):
                    raise UsageError(f"this takes the role {role}; log in again if you have it")
                done = work(*args)
                if isinstance(done, Awaitable):
                    await done
            except RatchetError as error:
                tell(str(error))
            except (
                ValueError,
                TypeError,
            ) as error:  # a field that is empty, or holds something else
                tell(f"something is missing, or is not as it should be: {str(error)[:300]}")

        async def with_event(event: Any) -> None:
            await guarded(event)

        async def without() -> None:
            await guarded()

        wanted = [one for one in signature(work).parameters.values() if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]  # fmt: skip
        return with_event if wanted else without

    def every(self, seconds: float, work: Handler) -> ui.timer:
        """Do something again and again, until whoever looks may not look any more."""

        def again() -> None:
            if self.may("viewer"):
                work()
            else:
                timer.deactivate()
                ui.navigate.to("/login")

        timer = ui.timer(seconds, again)
        return timer

    # --- work ---

    async def bench(self, task: str) -> Workbench:
        """Return a task with its newest examples, opened once as long as nothing changes.

        Raises: TaskError or DataError if it is not there, or has no examples.
        """
        path = self.workspace.task_path(task)
        async with self._opening:
            stamp = (stamps(path, self.workspace.root / "ratchet.toml"), latest_dataset(self.workspace.database, task))  # fmt: skip
            known = self._benches.get(task)
            if known is None or known[0] != stamp:
                opened = await asyncio.to_thread(Workbench.open, task, self.workspace.root)
                self._benches[task] = (stamp, opened)
                while len(self._benches) > BENCHES:
                    self._benches.pop(next(iter(self._benches)))
            return self._benches[task][1]

    def begin(self, task: str, *words: str, to: str | None = None) -> None:
        """Start a command as a job, and go where one can watch it; one that waits or runs already is not started twice."""
        run = self.running(task, *words) or start_run(self.workspace, task, words, self.who).id
        ui.navigate.to(to or f"/runs/{run}")

    def running(self, task: str, *words: str) -> str | None:
        """Return the id of a run of a command that waits or goes on."""
        found = (one.id for one in unfinished(self.workspace) if (one.task, one.words) == (task, words))  # fmt: skip
        return next(found, None)

    def inbox(self, name: str) -> Path:
        """Return where a file that comes under a name is put: in a folder of its own, so that none takes another's place.

        What came a week ago is taken away: it was read then, and a job that reads it again is told that it is gone.
        """
        files = self.workspace.files / "page" / "files"
        for old in files.glob("*"):
            with suppress(FileNotFoundError):  # somebody else takes it away
                if time.time() - old.stat().st_mtime > KEPT_S:
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
        folder = files / str(time.time_ns())
        folder.mkdir(parents=True)
        return folder / Path(name).name

    def near(self, path: Path) -> str:
        """Return a file's name as a command in the workspace's folder takes it."""
        return str(path.relative_to(self.workspace.root)) if path.is_relative_to(self.workspace.root) else str(path)  # fmt: skip

    def working(self, task: str) -> str | None:
        """Return the id of a run that works on a task."""
        found = [one.id for one in unfinished(self.workspace) if one.task == task]
        return found[0] if found else None

    def button(self, text: str, work: Handler, *, icon: str | None = None, role: Role = "editor", flat: bool = False) -> ui.button:  # fmt: skip
        """Show a button; greyed out for whom it is not."""
        shown = ui.button(text, on_click=self.does(work, role=role), icon=icon)
        shown.props("no-caps" + (" flat" if flat else ""))
        shown.set_enabled(self.may(role))
        return shown


def stamps(*paths: Path) -> tuple[int, ...]:
    """Return when files changed last, with those beside them that a task may call; 0 for one that is not there."""
    beside = sorted(one for path in paths for one in path.parent.glob("*.py"))
    return tuple(one.stat().st_mtime_ns if one.exists() else 0 for one in (*paths, *beside))


def proof_of(person: Person) -> str:
    """Return what a session keeps of who logged in; another password makes it void."""
    return sha256(person.digest.encode()).hexdigest()


def tell(text: str) -> None:
    """Say what went wrong."""
    ui.notify(
        text,
        type="negative",
        multi_line=True,
        timeout=8_000,
        position="top-right",
        close_button="Close",
    )


def chooser(text: str, took: Callable[[events.UploadEventArguments], Awaitable[None]], *, accept: str = "", multiple: bool = False) -> None:  # fmt: skip
    """Show a button that takes files; they travel as they are chosen."""
    told = ui.label("").classes("soft").props('role="status"')

    async def taken(event: events.UploadEventArguments) -> None:
        told.set_text(f"{event.file.name}: {event.file.size() / 1000:,.0f} kB")
        await took(event)
        hidden.reset()

    hidden = ui.upload(auto_upload=True, multiple=multiple, on_upload=taken).classes("hidden")
    hidden.props(f'accept="{accept}"' if accept else "")
    hidden.on("start", lambda: told.set_text("on its way …"))
    button = ui.button(text, icon="upload").props("no-caps")
    button.on("click", js_handler=f"() => getElement({hidden.id}).$refs.qRef.pickFiles()")


def hint(*words: str) -> ui.label:
    """Show the command that does the same."""
    return ui.label(f"At a terminal: ratchet {shlex.join(words)}").classes("mono soft text-xs")


def title(text: str, said: str = "", *, level: int = 1) -> None:
    """Show the title of a view, or of a part of it, and a line under it."""
    size = "text-2xl" if level == 1 else "text-xl mt-4"
    ui.label(text).classes(f"{size} font-semibold").props(f'role="heading" aria-level="{level}"')
    if said:
        ui.label(said).classes("soft")


def glossary() -> None:
    """Show what the words of a ladder mean."""
    with ui.expansion("What the words mean", icon="help_outline").classes("w-full"):
        for word, meaning in WORDS.items():
            ui.label(f"{word}: {meaning}").classes("said text-sm")


def counted(count: int, what: str) -> str:
    """Return so many of something, in words."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def when(at: float | str) -> str:
    """Return a moment, as seconds or as ISO 8601, in this machine's time."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at, UTC)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def points(share: float) -> str:
    """Return a share as points of 100."""
    return f"{100 * share:.1f}"


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, label: str) -> ui.table:
    """Show rows of text under their columns; text from anywhere stays text."""
    named = [{"name": str(k), "label": name, "field": str(k), "align": "left"} for k, name in enumerate(columns)]  # fmt: skip
    body = [{"id": n, **{str(k): str(cell) for k, cell in enumerate(row)}} for n, row in enumerate(rows)]  # fmt: skip
    return ui.table(columns=named, rows=body, row_key="id").classes("w-full").props(f'flat bordered dense wrap-cells aria-label="{label}" no-data-label="nothing yet" hide-pagination :rows-per-page-options="[0]"')  # fmt: skip
