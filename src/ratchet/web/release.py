"""Releases and the log: what is served under which name, what passes, what people say, and what becomes of it."""

import json
import time
from functools import partial

from nicegui import ui

from ratchet.core import Json
from ratchet.core.errors import UsageError
from ratchet.ladder import canary_test, cost_text, roll_back, start_canary
from ratchet.store import load_releases
from ratchet.store.request_writer import REFUSED_FILE, count_refused
from ratchet.store.requests import LoggedRequest, add_feedback, read_requests
from ratchet.web.frame import Page, hint, points, table, title, when
from ratchet.workbench import Workbench

__all__ = ["add_to"]

SHOWN, SEARCHED, LONGEST, EVERY_S = 50, 2000, 300, 3.0


def add_to(page: Page) -> None:
    """Add the views of this file."""

    @page.view("/tasks/{task}/release", "Release and log")
    async def release_(task: str) -> None:
        bench = await page.bench(task)
        title("Release", "The champion under a name, behind an OpenAI-compatible endpoint.")
        releases(page, bench)
        title("Log", "What passed, the newest first.", level=2)
        Log(page, bench).show()


def releases(page: Page, bench: Workbench) -> None:
    """Show what is served, its canary and its history, with the ways to change it."""
    task, engine = bench.task.name, page.workspace.database
    found = [one for one in load_releases(engine) if one.task.name == task]
    champion = bench.champion()
    if not found:
        ui.label(f"Nothing is served yet. The champion is {champion.note or champion.id}.")
    names = list(dict.fromkeys(one.name for one in found)) or [task]
    for name in names:
        of_name = [one for one in found if one.name == name]
        last = of_name[-1] if of_name else None
        if last:
            ui.label(f"{name}: release {last.number}, {last.candidate.note or last.candidate.id} on {last.candidate.model}").classes("text-lg")  # fmt: skip
        with ui.row().classes("items-end"):
            page.button("Serve the champion", partial(serve, page, bench, name), icon="rocket_launch")  # fmt: skip
            if last:
                share = ui.number("Share of a canary, %", value=10, min=1, max=99).classes("w-40")

                def canary(name: str = name, share: ui.number = share) -> None:
                    start_canary(
                        engine, champion, name=name, share=float(share.value) / 100, who=page.who
                    )
                    ui.navigate.to(f"/tasks/{task}/release")

                def back(name: str = name) -> None:
                    roll_back(engine, name, why=f"by {page.who}, on the page", who=page.who)
                    ui.navigate.to(f"/tasks/{task}/release")

                page.button("Send a share to the champion", canary, flat=True)
                page.button("Roll back", back, flat=True)
                page.button("Has anything drifted?", lambda: page.begin(task, "drift", task), flat=True)  # fmt: skip
        if changed := page.alarms.of(last) if last else []:
            ui.label(f"drift: {', '.join(changed)} changed since it was admitted; the button shows by how much").classes("text-red-700").props('role="alert"')  # fmt: skip
        if last and last.canary:
            test = canary_test(engine, last)
            ui.label(f"canary {last.canary.id} gets {100 * last.share:.0f} %: {test.word}, {test.wins} wins and {test.losses} losses by feedback")  # fmt: skip
        rows = [[one.number, one.candidate.note or one.candidate.id, when(one.at), one.who, one.why] for one in reversed(of_name)]  # fmt: skip
        if rows:
            table(["release", "candidate", "when", "who", "why"], rows, label="History")
    hint("promote", task)
    request = ui.context.client.request
    body = json.dumps({"model": names[0], "messages": [{"role": "user", "content": "…"}]}, ensure_ascii=False)  # fmt: skip
    ui.label(f"$ curl {request.base_url}v1/chat/completions -H 'content-type: application/json' -d '{body}'").classes("mono soft said")  # fmt: skip


def serve(page: Page, bench: Workbench, name: str) -> None:
    """Ask once more, with what is known of the champion, and serve it."""
    champion = bench.champion()
    score = next((step.score for step in reversed(bench.steps()) if step.candidate_id == champion.id), None)  # fmt: skip
    known = "was never measured" if score is None else f"has {points(score)} of 100 points on dev"

    def go() -> None:
        made = bench.promote(name=name, who=page.who)
        ui.notify(f"{made.name} is {made.candidate.note or made.candidate.id} now", type="positive")
        ui.navigate.to(f"/tasks/{bench.task.name}/release")

    with ui.dialog(value=True) as dialog, ui.card():
        ui.label(f"{champion.note or champion.id}, on {champion.model}, {known}.").classes("said")
        ui.label(f"From now on whoever asks for {name!r} is answered by it.")
        with ui.row():
            page.button("Serve it", go, icon="rocket_launch")
            ui.button("Not yet", on_click=dialog.close).props("flat no-caps")


class Log:
    """The live log of a task's releases."""

    def __init__(self, page: Page, bench: Workbench) -> None:
        self._page, self._bench = page, bench
        self._names = list(dict.fromkeys(one.name for one in load_releases(page.workspace.database) if one.task.name == bench.task.name))  # fmt: skip
        self._shown: dict[str, LoggedRequest] = {}

    def show(self) -> None:
        """Show it."""
        if not self._names:
            ui.label("Nothing is served, so nothing has passed.")
            return
        with ui.row().classes("items-end w-full"):
            self._name = ui.select(self._names, value=self._names[0], label="Release", on_change=self._look).classes("w-40")  # fmt: skip
            self._failed = ui.checkbox("only failed", on_change=self._look)
            self._text = ui.input("Search the newest 2,000", on_change=self._look).props("clearable debounce=300 dense outlined").classes("w-64")  # fmt: skip
            task = self._bench.task.name
            self._page.button("Make a dataset of what people vouch for", lambda: self._page.begin(task, "import", "--from-logs", str(self._name.value), "--task", task), icon="playlist_add")  # fmt: skip
        hint("import", "--from-logs", self._names[0], "--task", self._bench.task.name)
        folder = self._page.workspace.log_folder
        if refused := count_refused(folder):
            ui.label(f"{refused} requests are not in the log, as the database refused them; they are in {folder / REFUSED_FILE}, each with the reason.").classes("soft")  # fmt: skip
        columns = [{"name": n, "label": n, "field": n, "align": "left"} for n in ("when", "status", "inputs", "reply", "tokens", "cost", "s", "feedback")]  # fmt: skip
        self._table = ui.table(columns=columns, rows=[], row_key="id").classes("w-full")
        self._table.props('flat bordered dense wrap-cells aria-label="Log"')
        self._table.on(
            "rowClick",
            self._page.does(lambda e: self._open(e.args[1]["id"]), role="viewer"),
            args=[None, ["id"], None],
        )
        self._look()
        self._page.every(EVERY_S, self._look)

    def _look(self) -> None:
        wanted = str(self._text.value or "").casefold()
        found = list(read_requests(self._page.workspace.database, model=str(self._name.value), failed=bool(self._failed.value), limit=SEARCHED if wanted else SHOWN))  # fmt: skip
        some = [one for one in found if wanted in str(one.body).casefold()][:SHOWN]
        self._shown = {one.id: one for one in some}
        self._table.rows = [row_of(one) for one in self._shown.values()]

    def _open(self, request_id: str) -> None:
        one = self._shown[request_id]
        with ui.dialog(value=True) as dialog, ui.card().classes("w-full max-w-3xl"):
            ui.label(f"{one.id} · {one.status} · {one.latency_s:.2f} s").classes("soft")
            ui.label(inputs_of(one)).classes("said")
            ui.label(reply_of(one)).classes("said border rounded p-2 w-full")
            right = ui.textarea("The answer that would have been right").classes("w-full").props("outlined autogrow")  # fmt: skip

            def say(body: dict[str, Json]) -> None:
                add_feedback(self._page.workspace.database, f"fb-{time.time_ns():x}", one.id, time.time(), {**body, "who": self._page.who})  # fmt: skip
                dialog.close()
                self._look()

            def corrected() -> None:
                if not str(right.value or "").strip():
                    raise UsageError("write the answer that would have been right first")
                say({"answer": str(right.value)})

            with ui.row():
                self._page.button("Good", lambda: say({"thumb": "up"}), icon="thumb_up", flat=True)
                self._page.button("Bad", lambda: say({"thumb": "down"}), icon="thumb_down", flat=True)  # fmt: skip
                self._page.button("Send my answer", corrected, flat=True)  # fmt: skip
                ui.button("Close", on_click=dialog.close).props("flat no-caps")


def row_of(one: LoggedRequest) -> dict[str, Json]:
    """Return a request as a row of the table."""
    said = ", ".join(f"{name} {value}" for each in one.feedback for name, value in each.items())
    return {
        "id": one.id,
        "when": when(one.at),
        "status": one.status,
        "inputs": inputs_of(one)[:LONGEST],
        "reply": reply_of(one)[:LONGEST],
        "tokens": f"{one.prompt_tokens} + {one.completion_tokens}",
        "cost": cost_text(one.cost_usd),
        "s": f"{one.latency_s:.2f}",
        "feedback": said or one.problem or "",
    }


def inputs_of(one: LoggedRequest) -> str:
    """Return what went in, as text."""
    inputs = one.body.get("inputs")
    if isinstance(inputs, dict):
        return "\n".join(str(value) for value in inputs.values())
    request = one.body.get("request")
    messages = request.get("messages", []) if isinstance(request, dict) else []
    return str(messages[-1].get("content", "")) if messages else ""


def reply_of(one: LoggedRequest) -> str:
    """Return what came out, as text."""
    replies = one.body.get("replies") or [{}]
    first = replies[0]
    return str(first.get("text") or "".join(call["arguments"] for call in first.get("tool_calls", ())))  # fmt: skip
