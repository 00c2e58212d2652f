"""Playground: write a candidate, see the very messages that it sends, try it beside others, keep it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable

from nicegui import ui

from ratchet.answer import Prompt, gather
from ratchet.core import Candidate, Example, Task
from ratchet.core.errors import RatchetError, ReplyError, UsageError
from ratchet.core.records import written
from ratchet.core.task import TASK_NAME
from ratchet.ladder import cost_text
from ratchet.measure import Measurement, evaluate
from ratchet.models import CallPart, ChatModel, ChatReply, ChatRequest
from ratchet.store import candidate_text, keep_candidate, measured_candidates, write_text
from ratchet.web.frame import Page, hint, points, title
from ratchet.workbench import Workbench

__all__ = ["add_to", "choices_of"]

COMPLETION = """
window.putIn = (name, typed) => {
  const box = window.lastBox; if (!box) return;
  const start = box.selectionStart - (typed || 0);
  box.setRangeText('{{' + name + '}}', start, box.selectionEnd, 'end');
  box.dispatchEvent(new Event('input', {bubbles: true})); box.focus();
};
document.addEventListener('focusin', e => { if (e.target.tagName === 'TEXTAREA') window.lastBox = e.target; });
document.addEventListener('keydown', e => {
  if (e.key !== 'Tab' || e.shiftKey || e.target.tagName !== 'TEXTAREA') return;
  const begun = e.target.value.slice(0, e.target.selectionStart).match(/\\{\\{(\\w*)$/);
  const name = begun && NAMES.find(one => one.startsWith(begun[1]));
  if (name) { e.preventDefault(); window.lastBox = e.target; window.putIn(name, begun[0].length); }
});
"""
"""Puts a field in where one writes: by its button, or by the Tab key behind `{{` and its first letters."""
MOST, TWENTY, AT_ONCE, SHOWN = 4, 20, 4, 200


USUAL_TOKENS = 512
"""So long is an answer taken to be at most, where no bound is named."""


def number_in(value: object) -> float | None:
    """Return what stands in a number's field; None where it is empty."""
    return float(str(value)) if value not in (None, "") else None


def add_to(page: Page) -> None:
    """Add the views of this file."""

    @page.view("/tasks/{task}/playground", "Playground")
    async def playground_(task: str) -> None:
        bench = await page.bench(task)
        await Playground(page, bench).show()


def choices_of(bench: Workbench) -> dict[str, str]:
    """Return the candidates that one can choose: the champion, the start, the files, and those of the ladder."""
    found = {"champion": f"champion: {bench.champion().note or bench.champion().id}", "start": "the plain start"}  # fmt: skip
    for one in bench.variants():
        keep_candidate(bench.engine, one)
        found[one.id] = f"{one.note} (file)"
    for step in bench.steps():
        for name, what in [(step.candidate_id, step.what), *((one.candidate_id, one.what) for one in step.losers)]:  # fmt: skip
            found.setdefault(name, f"{what} ({step.lever}, rung {step.number})")
    for candidate in measured_candidates(bench.engine, bench.task.asking_id):
        found.setdefault(candidate.id, candidate.note or candidate.id)
    return found


class Heard:
    """A model whose replies somebody listens to as they come.

    Args:
        model: Who answers.
        emit: Gets each piece.
    """

    def __init__(self, model: ChatModel, emit: Callable[[str], object]) -> None:
        self._model, self._emit = model, emit
        self.name, self.concurrency = model.name, model.concurrency
        self.count_tokens, self.price, self.close = model.count_tokens, model.price, model.close

    def stream(self, request: ChatRequest) -> AsyncIterator[str | CallPart | ChatReply]:
        """Yield the pieces, then the reply."""
        return self._model.stream(request)

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return the reply, and let its pieces be heard."""
        async for piece in self._model.stream(request):
            if isinstance(piece, ChatReply):
                return piece
            self._emit(piece if isinstance(piece, str) else piece.arguments)
        raise ReplyError(f"{self.name} ended without a reply", kind="malformed")


class Playground:
    """One candidate that is written, and up to three beside it."""

    def __init__(self, page: Page, bench: Workbench) -> None:
        self._page, self._bench = page, bench
        self._task: Task = bench.task
        self._base = bench.champion()
        self._looks = 0
        self._examples = bench.split("dev")[:SHOWN]
        if not self._examples:
            raise UsageError("the dev split has no example; import some first")

    async def show(self) -> None:
        """Show the view."""
        title(
            "Playground", "What you write here is a candidate: the whole of what a model is sent."
        )
        with ui.row().classes("w-full md:flex-nowrap max-md:flex-col gap-6"):
            with ui.column().classes("w-full md:w-1/2"):
                choices = choices_of(self._bench)
                self._from = ui.select(choices, value="champion", label="Begin from", on_change=self._page.does(self._begin, role="viewer")).classes("w-full")  # fmt: skip
                self._fields()
                self._model = ui.input("Model", value=self._base.model).classes("w-full")
                for event in ("blur", "keydown.enter"):  # each model that is looked at is opened
                    self._model.on(event, self._page.does(self._look, role="viewer"))
                self._system = self._area("System")
                self._user = self._area("User")
                self._answer = self._area("How a reply holds the answer")
                with ui.row():
                    self._heat = ui.number("Temperature", min=0, max=2, step=0.1, on_change=self._page.does(self._look, role="viewer")).classes("w-32")  # fmt: skip
                    self._most = ui.number("Tokens at most", min=1, precision=0, on_change=self._page.does(self._look, role="viewer"))  # fmt: skip
                with ui.row().classes("items-end"):
                    self._name = ui.input("Name: letters, digits, - and _").classes("w-64")
                    self._page.button("Save as a candidate", self._save, icon="save")
            with ui.column().classes("w-full md:w-1/2"):
                labels = {k: f"{k + 1}. {' '.join(map(written, one.inputs.values()))[:90]}" for k, one in enumerate(self._examples)}  # fmt: skip
                self._example = ui.select(labels, value=0, label="Example", with_input=True, on_change=self._page.does(self._look, role="viewer")).classes("w-full")  # fmt: skip
                self._said = ui.column().classes("w-full gap-1").props('aria-label="The messages as they are sent"')  # fmt: skip
        others = {k: v for k, v in choices.items() if k != "champion"}
        with ui.row().classes("items-end w-full"):
            self._beside = ui.select({"champion": "the champion", **others}, value=[], multiple=True, label=f"Beside it (up to {MOST - 1})").props("use-chips").classes("min-w-80")  # fmt: skip
            self._page.button("Run on this example", lambda: self._run(1), icon="play_arrow")
            self._page.button(f"Run on {TWENTY}", lambda: self._run(TWENTY), icon="fast_forward", flat=True)  # fmt: skip
        self._out = ui.column().classes("w-full")
        self._put(self._base)
        ui.timer(0.05, self._look, once=True)  # the first look may load a model

    def _fields(self) -> None:
        """Show the fields, each to be put in where one writes; `{{` and the Tab key complete them too."""
        names = [*self._task.input_names, "instructions", "labels", "schema"]
        ui.run_javascript(COMPLETION.replace("NAMES", json.dumps(names)))
        with ui.row().classes("gap-1 items-center"):
            ui.label("Put in:").classes("soft")
            for name in names:
                button = ui.button(f"{{{{{name}}}}}").props("flat dense no-caps").classes("mono")
                button.on("mousedown.prevent", js_handler=f"() => window.putIn({json.dumps(name)})")

    def _area(self, name: str) -> ui.textarea:
        box = ui.textarea(name, on_change=self._page.does(self._look, role="viewer")).classes(
            "w-full mono"
        )
        box.props(f'outlined autogrow debounce=300 aria-label="{name}"')
        return box

    def _put(self, candidate: Candidate) -> None:
        self._base = candidate
        self._model.value, self._system.value, self._user.value = candidate.model, candidate.system, candidate.user  # fmt: skip
        self._answer.value = candidate.answer
        self._heat.value, self._most.value = candidate.decoding.temperature, candidate.decoding.max_tokens  # fmt: skip

    async def _begin(self) -> None:
        self._put(await asyncio.to_thread(self._bench.candidate, str(self._from.value)))
        await self._look()

    def _written(self) -> Candidate:
        """Return the candidate as it is written now."""
        try:
            return self._base.changed(
                model=str(self._model.value),
                system=str(self._system.value or ""),
                user=str(self._user.value or ""),
                answer=str(self._answer.value or "{{answer}}"),
                adapter=self._base.adapter if self._model.value == self._base.model else None,
                decoding={**self._base.decoding.model_dump(), "temperature": number_in(self._heat.value), "max_tokens": None if number_in(self._most.value) is None else int(self._most.value)},
                note="from the playground",
            )  # fmt: skip
        except ValueError as error:
            raise UsageError(str(error)) from error

    @property
    def _chosen(self) -> Example:
        return self._examples[int(self._example.value or 0)]

    async def _look(self) -> None:
        """Show the messages as they would be sent, and what they take."""
        self._looks += 1
        turn, problem = self._looks, ""
        try:
            candidate = self._written()
            prompt, pool = Prompt(self._task, candidate), self._page.pool()
            # what a viewer looks at costs nothing: passages, and demonstrations that follow the input, stand for others
            paid = self._page.may("editor")
            request = (await gather(prompt, self._chosen, pool)).request if paid else prompt.request(self._chosen)  # fmt: skip
            model = pool.model(candidate.model)
            tokens, _ = await asyncio.to_thread(model.count_tokens, request)
            price = model.price(tokens, request.max_tokens or USUAL_TOKENS)
        except RatchetError as error:
            problem = str(error)
        if turn != self._looks:  # something was written meanwhile, and is looked at already
            return
        self._said.clear()
        with self._said:
            if problem:
                ui.label(problem).classes("text-red-700 said").props('role="alert"')
                return
            for message in request.messages:
                ui.label(str(message["role"])).classes("soft text-sm")
                ui.label(str(message.get("content") or message.get("tool_calls"))).classes("said mono border rounded p-2 w-full")  # fmt: skip
            cost = "price unknown" if price is None else f"{cost_text(price)} at most"
            ui.label(f"≈ {tokens:,} tokens go in; {cost}").classes("soft")
            ui.label(f"right answer: {written(self._chosen.reference)[:400]}").classes("said soft")

    async def _run(self, count: int) -> None:
        """Ask the written candidate and those beside it, side by side."""
        first = int(self._example.value or 0)
        examples = self._examples[first : first + 1] if count == 1 else self._examples[:count]
        names = list(self._beside.value)[: MOST - 1]
        asked = [self._written()] + [
            await asyncio.to_thread(self._bench.candidate, n) for n in names
        ]
        for one in asked:
            self._bench.check_fits(one)
        self._out.clear()
        with self._out, ui.row().classes("w-full no-wrap gap-4"):
            shown = [self._column(one, number) for number, one in enumerate(asked)]
        await asyncio.gather(*(self._answers(one, examples, place) for one, place in zip(asked, shown, strict=True)))  # fmt: skip

    def _column(self, candidate: Candidate, number: int) -> ui.column:
        with ui.column().classes("grow basis-0"):
            ui.label("as written" if number == 0 else candidate.note or candidate.id).classes("font-semibold")  # fmt: skip
            place = ui.column().classes("w-full gap-1").props('aria-live="polite"')
            with place:
                ui.spinner()
        return place

    async def _answers(self, candidate: Candidate, examples: list[Example], place: ui.column) -> None:  # fmt: skip
        """Ask one candidate, and show each answer as it comes."""
        scores: list[float] = []
        cost: float | None = 0.0
        place.clear()
        with place:
            mean = ui.label("").classes("text-lg")
            coming = ui.label("").classes("said soft")
        for start in range(0, len(examples), AT_ONCE):
            some = examples[start : start + AT_ONCE]
            try:
                measured = await self._measured(candidate, some, coming if len(examples) == 1 else None)  # fmt: skip
                coming.set_text("")
            except RatchetError as error:
                with place:
                    ui.label(str(error)).classes("text-red-700 said").props('role="alert"')
                return
            spent = measured.spend.cost_usd
            cost = None if cost is None or spent is None else cost + spent
            trials = measured.first_trials()
            with place:
                for example in some:
                    trial = trials.get(example.id)
                    if trial is None:
                        ui.label("no reply").classes("text-red-700")
                        continue
                    score = trial.score.value if trial.score else 0.0
                    scores.append(score)
                    look = "border-green-600" if score >= 1 else "border-red-600"
                    with ui.column().classes(f"w-full border-l-4 {look} pl-2 gap-0"):
                        if len(examples) > 1:
                            ui.label(" ".join(map(written, example.inputs.values()))[:160]).classes("soft text-sm said")  # fmt: skip
                        ui.label(trial.output).classes("said")
                        ui.label(f"{points(score)} points, {trial.latency_s:.2f} s, {trial.usage.prompt_tokens} + {trial.usage.completion_tokens} tokens").classes("soft text-sm")  # fmt: skip
            mean.set_text(f"{points(sum(scores) / max(1, len(scores)))} points on {len(scores)}; {'cost unknown' if cost is None else cost_text(cost)}")  # fmt: skip

    async def _measured(self, candidate: Candidate, examples: list[Example], coming: ui.label | None) -> Measurement:  # fmt: skip
        """Return the answers, each kept as a trial; those to one example are shown as they come."""
        pool = self._page.pool()
        model: ChatModel = pool.model(candidate.model)
        if coming is not None:
            model = Heard(model, lambda piece: coming.set_text(coming.text + piece))
        return await evaluate(self._bench.bench(pool=pool), candidate, model, examples)

    def _save(self) -> None:
        """Write the candidate into the task's folder, where the lever `prompt` finds it."""
        name = re.sub(r"\s+", "-", str(self._name.value or "").strip().lower())
        if not TASK_NAME.fullmatch(name):
            raise UsageError("give it a name of letters, digits, - and _")
        candidate = self._written()
        self._bench.check_fits(candidate)
        self._page.pool().model(candidate.model)
        path = self._page.workspace.root / "tasks" / self._task.name / f"{name}.yaml"
        if path.exists():
            raise UsageError(f"there is a candidate {name!r} already; choose another name")
        path.parent.mkdir(exist_ok=True)
        write_text(path, candidate_text(candidate.changed(note=name)))
        ui.notify(f"saved; compare it with the champion under Compare, or: ratchet ab {self._task.name} --a champion --b tasks/{self._task.name}/{name}.yaml", type="positive", multi_line=True)  # fmt: skip
        with self._out:
            hint("ab", self._task.name, "--a", "champion", "--b", f"tasks/{self._task.name}/{name}.yaml")  # fmt: skip
