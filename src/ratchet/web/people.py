"""People and keys: who may use the page, who may ask the API, and the way in."""

import asyncio
import time
from collections import deque

from nicegui import app, ui

from ratchet.core.errors import UsageError
from ratchet.store.keys import SCOPES, add_key, load_keys, revoke_key
from ratchet.store.people import ROLES, Person, add_person, load_people, remove_person, verified
from ratchet.web.frame import HEAD, Page, hint, proof_of, table, title, when

__all__ = ["Doorkeeper", "add_to"]

TRIES, WITHIN_S, LONGEST = 5, 300.0, 1000


class Doorkeeper:
    """Counts tries to log in: five within five minutes, of one name or from one address, and the door stays shut a while."""

    def __init__(self) -> None:
        self._tries: dict[str, deque[float]] = {}

    def waits(self, *keys: str) -> float:
        """Return how many seconds one must wait before another try."""
        now = time.monotonic()
        for key in [key for key, tries in self._tries.items() if now - tries[-1] > WITHIN_S]:
            del self._tries[key]
        return max((self._wait(key, now) for key in keys), default=0.0)

    def _wait(self, key: str, now: float) -> float:
        tries = self._tries.get(key, deque())
        while tries and now - tries[0] > WITHIN_S:
            tries.popleft()
        return tries[0] + WITHIN_S - now if len(tries) >= TRIES else 0.0

    def left(self, *keys: str) -> int:
        """Return how many tries are left before one must wait."""
        return min(max(0, TRIES - len(self._tries.get(key, ()))) for key in keys)

    def tries(self, *keys: str) -> None:
        """Take note of a try, before it is known how it ends."""
        for key in keys:
            self._tries.setdefault(key, deque()).append(time.monotonic())

    def opens(self, *keys: str) -> None:
        """Forget the tries of whoever got in."""
        for key in keys:
            self._tries.pop(key, None)


def add_to(page: Page) -> None:
    """Add the views of this file."""
    engine, door, checking = page.workspace.database, Doorkeeper(), asyncio.Semaphore(2)

    @ui.page("/login", title="Log in · Ratchet")
    def login() -> None:
        ui.add_head_html(HEAD)
        ui.dark_mode(app.storage.user.get("dark"))
        if not load_people(engine):
            ui.label(
                "Nobody may use this page from another machine yet. On the server, make the first admin with:"
            )
            hint("people", "add", "NAME", "--role", "admin")
            return

        async def enter() -> None:
            said, secret = str(name.value or "").strip(), str(password.value or "")[:LONGEST]
            keys = (f"name {said}", f"address {ui.context.client.ip}")
            wait = door.waits(*keys)
            if wait > 0:
                told.set_text(f"too many tries; try again in {wait:.0f} s")
                return
            door.tries(*keys)
            async with (
                checking
            ):  # a hash takes its time and memory, and others wait for a thread too
                person = await asyncio.to_thread(verified, engine, said, secret)
            if person is None:
                told.set_text(f"no such name, or another password; {door.left(*keys)} more tries")
                return
            door.opens(*keys)
            app.storage.user.update(name=person.name, proof=proof_of(person))
            ui.navigate.to("/")

        with ui.card().classes("absolute-center w-80").props('role="main"'):
            title("Ratchet")
            name = ui.input("Name").classes("w-full").props("autofocus autocomplete=username")
            password = ui.input("Password", password=True, password_toggle_button=True).classes("w-full")  # fmt: skip
            password.props("autocomplete=current-password").on("keydown.enter", enter)
            ui.button("Log in", on_click=enter).props("no-caps").classes("w-full")
            told = ui.label("").classes("text-red-700").props('role="alert"')

    @ui.page("/logout")
    def logout() -> None:
        app.storage.user.pop("name", None)
        app.storage.user.pop("proof", None)
        ui.navigate.to("/login")

    @page.view("/people", "People and keys", role="admin")
    def people_() -> None:
        known = load_people(engine)
        title("People", "Viewers look, editors work, admins also decide who may. From the first person on everyone logs in.")  # fmt: skip
        if not known:
            ui.label("There is nobody yet: whoever is on this machine may do everything. The first person is an admin.")  # fmt: skip
        table(["name", "role", "since"], [(p.name, p.role, when(p.created_at)) for p in known], label="People")  # fmt: skip
        who_may(page, known)
        hint("people", "add", "NAME", "--role", "editor")
        who_may_ask(page)


def who_may(page: Page, known: list[Person]) -> None:
    """Show what adds and removes people."""
    engine = page.workspace.database
    with ui.row().classes("items-end"):
        name = ui.input("Name")
        password = ui.input("Password", password=True)
        role = ui.select(list(ROLES), value="editor" if known else "admin", label="Role").classes("w-32")  # fmt: skip

        async def add() -> None:
            await asyncio.to_thread(add_person, engine, str(name.value), str(password.value), role.value)  # fmt: skip
            if not known:  # whoever made the first person goes on as that one
                person = load_people(engine)[0]
                app.storage.user.update(name=person.name, proof=proof_of(person))
            ui.navigate.to("/people")

        page.button("Add, or change", add, role="admin")
        gone = ui.select([p.name for p in known], label="Who").classes("w-32")

        def remove() -> None:
            if not gone.value:
                raise UsageError("choose who goes")
            remove_person(engine, str(gone.value))
            ui.navigate.to("/people")

        page.button("Remove", remove, role="admin", flat=True)


def who_may_ask(page: Page) -> None:
    """Show the keys to the API, and what makes and ends them."""
    engine = page.workspace.database
    title("API keys", "Shown once, kept as hashes. From the first key on the API asks everyone for one.", level=2)  # fmt: skip
    keys, now = load_keys(engine), time.time()
    rows = [(k.name, ", ".join(k.scopes), when(k.created_at), "good" if k.is_good(now) else "ended") for k in keys]  # fmt: skip
    table(["name", "scopes", "made", "state"], rows, label="Keys")
    with ui.row().classes("items-end"):
        key_name = ui.input("Name of the key")
        scopes = ui.select(list(SCOPES), value=["chat"], multiple=True, label="Scopes").classes("w-40")  # fmt: skip

        def make() -> None:
            made = add_key(engine, str(key_name.value), tuple(scopes.value))
            with ui.dialog(value=True).props("persistent no-esc-dismiss") as dialog, ui.card():
                ui.label("Note it now; only its hash is kept.")
                ui.label(made).classes("mono")
                ui.button("Copy", on_click=lambda: ui.clipboard.write(made))
            ui.button("I have noted it", on_click=lambda: ui.navigate.to("/people"))
            dialog.open()

        page.button("Make a key", make, role="admin")
        good = [k.name for k in keys if k.is_good(now)]
        ended = ui.select(good, label="Which").classes("w-40")

        def revoke() -> None:
            revoke_key(engine, str(ended.value))
            ui.navigate.to("/people")

        page.button("Revoke", revoke, role="admin", flat=True)
    hint("keys", "add", "NAME")
