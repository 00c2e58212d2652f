"""The page, in real Chromium: from a file to a served, proven better model, and what may go wrong on the way."""

import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from random import Random

import pytest

pytestmark = pytest.mark.local
SHOTS = Path(__file__).parents[2] / "docs" / "page"
WORDS = ["ka", "lo", "mi", "ne", "tu", "ra", "bel", "dor", "fin", "gus", "pol", "zan"]


def words_csv(path, count=240):
    """Write a task of words, of which the first is wanted; `local:nano` does it once it is told to."""
    rng = Random(0)
    rows = [[rng.choice(WORDS) + rng.choice(WORDS) for _ in range(4)] for _ in range(count)]
    path.write_text("words,answer\n" + "".join(f"{' '.join(r)},{r[0]}\n" for r in rows))
    return path


def shot(page, name):
    """Keep a picture for the documentation, where one is asked for."""
    import os

    if os.environ.get("RATCHET_SHOTS"):
        SHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def done(page, state="succeeded"):
    """Wait until the job that is shown has ended."""
    page.wait_for_url("**/runs/*")
    page.get_by_role("status").filter(has_text=re.compile(state)).wait_for(timeout=240_000)


def choose(page, label, text):
    """Choose from a list."""
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option").filter(has_text=text).first.click()
    page.keyboard.press("Escape")


def test_from_a_file_to_a_served_and_proven_model(server, person, tmp_path):
    """The whole way of somebody who never opens a terminal."""
    page = person()
    began = time.monotonic()
    page.goto(server.url)
    page.get_by_text("New task").wait_for()
    assert time.monotonic() - began < 10
    page.get_by_text("New task").click()
    page.wait_for_url("**/new")
    page.set_input_files("input[type=file]", words_csv(tmp_path / "words.csv"))
    page.get_by_text("Make the task").wait_for()
    assert "The answer is of kind text" in page.content()
    shot(page, "wizard")
    page.get_by_text("Make the task").click()
    page.wait_for_url("**/tasks/words/examples")
    page.get_by_text("1-25 of 240").wait_for()
    shot(page, "examples")

    page.get_by_role("link", name="Playground").click()
    page.get_by_text("tokens go in").wait_for()
    page.get_by_label("User", exact=True).fill("Words: ")
    page.get_by_role("button", name="{{words}}").click()
    assert page.get_by_label("User", exact=True).input_value() == "Words: {{words}}"
    page.get_by_label("User", exact=True).fill("")
    page.keyboard.type("{{wo")
    page.keyboard.press("Tab")
    assert page.get_by_label("User", exact=True).input_value() == "{{words}}"
    page.get_by_label("System", exact=True).fill("Give the first word.")
    page.get_by_text("Give the first word.", exact=True).last.wait_for()
    page.get_by_text("Run on this example").click()
    page.get_by_text(re.compile(r"points on 1;")).wait_for()
    page.get_by_label("Name: letters, digits").fill("told")
    page.get_by_text("Save as a candidate").click()
    page.get_by_text("saved; compare it").wait_for()
    shot(page, "playground")

    page.get_by_role("link", name="Compare").click()
    choose(page, "B, the challenger", "told (file)")
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("answers are missing for a verdict").wait_for()
    page.get_by_text("Measure both").click()
    page.get_by_text(re.compile("B is better: ")).first.wait_for()
    shot(page, "compare")

    page.get_by_role("button", name="Put B on the ladder").click()
    done(page)
    page.get_by_text("To the ladder").click()
    page.get_by_role("cell", name="✓ kept").nth(1).wait_for()
    page.get_by_role("button", name="Diagnose the champion").click()
    done(page)
    page.get_by_text("To the ladder").click()
    page.get_by_text("expected points").wait_for()
    shot(page, "ladder")

    page.get_by_role("link", name="Release and log").click()
    page.get_by_text("Serve the champion").click()
    page.get_by_role("button", name="Serve it").click()
    page.get_by_text("words: release 1").wait_for()
    request = urllib.request.Request(f"{server.url}/v1/chat/completions", json.dumps({"model": "words", "messages": [{"role": "user", "content": "kalo mine"}]}).encode(), {"content-type": "application/json"})  # fmt: skip
    with urllib.request.urlopen(request, timeout=60) as reply:
        assert json.load(reply)["choices"][0]["message"]["content"]
    page.get_by_text("kalo mine").wait_for()
    page.get_by_text("kalo mine").click()
    page.get_by_text("Good").click()
    page.get_by_text("thumb up").wait_for()
    page.get_by_role("dialog").wait_for(state="detached")
    shot(page, "release")
    page.goto(server.url)
    page.get_by_text("1 request in 24 hours").wait_for()
    shot(page, "tasks")
    views = {"tune": "Train", "knowledge": "Take them in", "rating": "left for you"}
    for name, words in {
        **views,
        "/runs": "ratchet diagnose words",
        "/people": "Make a key",
    }.items():
        page.goto(server.url + (name if name.startswith("/") else f"/tasks/words/{name}"))
        page.get_by_text(words).first.wait_for()
        shot(page, name.strip("/"))


def test_two_people_edit_the_same_row(server, person, tmp_path):
    """Roles hold; the second editor is told of the first; nothing is lost; each version may come back."""
    server.ratchet("import", str(words_csv(tmp_path / "words.csv")), "--task", "words")
    admin = person()
    admin.goto(f"{server.url}/people")
    admin.get_by_label("Name", exact=True).fill("ann")
    admin.get_by_label("Password").fill("correct horse")
    admin.get_by_text("Add, or change").click()
    admin.get_by_role("cell", name="ann").wait_for()
    for name, role in (("bob", "editor"), ("cyd", "viewer")):
        admin.get_by_label("Name", exact=True).fill(name)
        admin.get_by_label("Password").fill("battery staple")
        choose(admin, "Role", role)
        admin.get_by_text("Add, or change").click()
        admin.get_by_role("cell", name=name).wait_for()

    bob, cyd = person(), person()
    for page, name in ((bob, "bob"), (cyd, "cyd")):
        page.goto(f"{server.url}/tasks/words/examples")
        page.wait_for_url("**/login")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill("battery staple")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{server.url}/")
        page.goto(f"{server.url}/tasks/words/examples")
    cyd.get_by_text("1-25 of 192").wait_for()  # the test split is sealed
    assert cyd.get_by_role("button", name="Add a row").is_disabled()
    cyd.goto(f"{server.url}/people")
    cyd.get_by_text("This takes the role admin; you are viewer.").wait_for()

    admin.goto(f"{server.url}/tasks/words/examples")
    rows = [page.get_by_role("row").filter(has_text="train").first for page in (admin, bob)]
    assert rows[0].inner_text() == rows[1].inner_text()
    for row in rows:
        row.click()
    for page, words in ((admin, "ann's answer"), (bob, "bob's answer")):
        page.get_by_label("the right answer").fill(words)
    admin.get_by_text("Keep the change").click()
    admin.get_by_text("1 change by ann waits").wait_for()
    bob.get_by_text("Keep the change").click()
    bob.get_by_text("ann changed this example while you did: ann's answer").wait_for()

    admin.get_by_text("Save as a version").click()
    admin.get_by_text("240 of version 2, edited by ann").wait_for()
    admin.get_by_label("Search in all columns").fill("ann's answer")
    admin.get_by_text("1-1 of 1").wait_for()
    admin.get_by_text("Versions").click()
    admin.get_by_role("button", name="Restore").first.click()
    admin.get_by_text("240 of version 3, version 1, restored by ann").wait_for()


def test_a_climb_outlives_a_reload_a_second_tab_and_its_server(server, person, tmp_path):
    """Killed in the middle, the server finds it where it is; it may be stopped, and run again."""
    server.ratchet("import", str(words_csv(tmp_path / "words.csv", 2400)), "--task", "words")
    page = person()
    page.goto(f"{server.url}/tasks/words/ladder")
    choose(page, "Only these levers, in order", "decoding")
    page.get_by_role("button", name="Climb").click()
    page.get_by_role("status").filter(has_text="running").wait_for()
    page.reload()
    page.get_by_role("status").filter(has_text="running").wait_for()
    other = page.context.new_page()
    other.goto(f"{server.url}/runs")
    other.get_by_text("ratchet climb words").wait_for()

    server.kill()
    server.start()
    page.goto(page.url)
    page.get_by_role("status").filter(has_text="running").wait_for()
    page.get_by_text(re.compile(r"measuring .* of \d+;", re.DOTALL)).wait_for()
    page.get_by_role("button", name="Stop").click()
    done(page, "stopped")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("status").filter(has_text="running").wait_for()
    page.get_by_role("button", name="Stop").click()
    done(page, "stopped")
    assert "KeyboardInterrupt" not in page.content()


def test_what_is_bad_is_named_and_never_run(server, person, tmp_path):
    """HTML, scripts and formulas are text; a template that does not parse, and a model that is not there, are told of beside it."""
    nasty = '<img src=x onerror="document.title=1">'
    rows = "".join(f'"{nasty} {n}","=1+{n}"\n' for n in range(40))
    (tmp_path / "nasty.csv").write_text("text,answer\n" + rows.replace('onerror="document.title=1"', 'onerror=""document.title=1""'))  # fmt: skip
    server.ratchet("import", "nasty.csv", "--task", "nasty", "--input", "text", "--answer", "answer")  # fmt: skip
    page = person()
    page.goto(f"{server.url}/tasks/nasty/examples")
    page.get_by_text(nasty).first.wait_for()
    with page.expect_download() as download:
        page.get_by_text("Export").click()
    exported = Path(download.value.path()).read_text()
    assert "'=1+7" in exported
    page.goto(f"{server.url}/tasks/nasty/playground")
    page.get_by_text("tokens go in").wait_for()
    assert page.title() == "Playground · Ratchet"
    page.get_by_label("User", exact=True).fill("{{#each}} {{nothing}}")
    page.get_by_role("alert").wait_for()
    page.get_by_label("User", exact=True).fill("{{text}}")
    page.get_by_label("Model", exact=True).fill("nowhere/gone")
    page.keyboard.press("Tab")
    page.get_by_role("alert").filter(has_text="nowhere").wait_for()
    page.goto(f"{server.url}/tasks/none/examples")
    page.get_by_role("alert").wait_for()
    page.goto(f"{server.url}/new")
    page.set_input_files("input[type=file]", {"name": "empty.csv", "mimeType": "text/csv", "buffer": b"a,b\n"})  # fmt: skip
    page.get_by_role("alert").filter(has_text="no row can be read").wait_for()


def test_other_sites_get_nothing(server, person, tmp_path):
    """Another host name, another origin, a file as a candidate, a folder as knowledge, a report of nothing."""
    server.ratchet("import", str(words_csv(tmp_path / "words.csv")), "--task", "words")

    def asked(path, **headers):
        try:
            with urllib.request.urlopen(
                urllib.request.Request(server.url + path, headers=headers), timeout=10
            ) as reply:
                return reply.status, dict(reply.headers)
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers)

    assert asked("/people", Host="evil.example")[0] == 403
    assert asked("/v1/models", Host="evil.example")[0] == 403
    status, headers = asked("/")
    assert (status, headers["x-frame-options"]) == (200, "DENY")
    assert asked("/tasks/none/report")[0] == 404
    talk = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    assert asked(talk, Origin="http://evil.example")[0] == 403
    assert asked(talk, Origin=server.url)[0] == 200
    page = person()
    page.goto(f"{server.url}/tasks/words/compare?a=/etc/passwd.txt&b=champion")
    page.get_by_role("alert").filter(has_text="there is no such candidate").wait_for()
    page.goto(f"{server.url}/tasks/words/knowledge")
    page.get_by_label("Name of the knowledge").fill("../../tasks")
    page.set_input_files("input[type=file]", {"name": "x.md", "mimeType": "text/plain", "buffer": b"# X"})  # fmt: skip
    page.get_by_text("a name of knowledge is lower-case letters").wait_for()


def test_on_a_phone_one_finds_the_way_and_a_wrong_address_leads_back(server, person):
    """The menu opens; an address that nothing is at says so."""
    server.ratchet("import", str(words_csv(server.root / "words.csv")), "--task", "words")
    page = person()
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{server.url}/tasks/words/examples")
    page.get_by_text("1-25 of 240").wait_for()
    assert page.locator("header").bounding_box()["height"] < 80
    assert not page.get_by_role("link", name="Rating").is_visible()
    page.get_by_label("Menu").click()
    page.locator(".q-menu").get_by_text("Rating").click()
    page.wait_for_url("**/tasks/words/rating")
    answer = page.goto(f"{server.url}/tasks/words/<i>nothing</i>")
    assert answer.status == 404
    assert "There is nothing at /tasks/words/&lt;i&gt;" in page.content()
    page.get_by_text("To the tasks").click()
    page.get_by_role("link", name="words", exact=True).wait_for()


def test_a_large_table_may_be_pasted(server, person):
    """Three megabytes arrive whole."""
    page = person()
    page.goto(f"{server.url}/new")
    rows = "".join(f"question number {n} of many and many more words,answer {n % 3}\n" for n in range(60_000))  # fmt: skip
    box = page.get_by_label("or paste a table here")
    box.evaluate("(element, text) => { element.value = text }", f"question,answer\n{rows}")
    page.get_by_text("Use what I pasted").click()
    page.get_by_text("Make the task").wait_for()
    pasted = next((server.root / ".ratchet").rglob("pasted.csv"))
    assert pasted.read_text().count("\n") == 60_001


def test_whoever_guesses_passwords_must_wait(server, person):
    """Five tries in five minutes; a right one does not help then."""
    server.ratchet("people", "list")
    page = person()
    page.goto(f"{server.url}/people")
    page.get_by_label("Name", exact=True).fill("ann")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_text("Add, or change").click()
    page.get_by_role("cell", name="ann").wait_for()
    other = person()
    other.goto(server.url)
    other.wait_for_url("**/login")
    for n in range(5):
        other.get_by_label("Name").fill("ann")
        other.get_by_label("Password").fill(f"wrong {n}")
        other.get_by_role("button", name="Log in").click()
        other.get_by_text(f"no such name, or another password; {4 - n} more tries").wait_for()
    other.get_by_label("Password").fill("correct horse")
    other.get_by_role("button", name="Log in").click()
    other.get_by_text("too many tries").wait_for()


def test_people_rate_and_documents_are_searched(server, person, tmp_path):
    """By keys, without names; the ranking follows; a document is cut, searched, and its hit rate measured."""
    server.ratchet("import", str(words_csv(tmp_path / "words.csv")), "--task", "words")
    (tmp_path / "told.yaml").write_text("system: Give the first word.\nnote: told\n")
    server.ratchet("ab", "words", "--a", "start", "--b", "told.yaml")
    page = person()
    page.goto(f"{server.url}/tasks/words/rating")
    page.get_by_text("96 answers left for you").wait_for()
    page.keyboard.press("2")
    page.get_by_text("95 answers left for you; 1 grade by").wait_for()
    page.get_by_text("Two side by side").click()
    page.get_by_text("pairs left for you").wait_for()
    for _ in range(3):
        count = int(re.search(r"(\d+) pairs? left", page.content()).group(1))
        words = page.locator("#main").inner_text()
        first = re.search(r"words: (\w+)", words).group(1)
        answers = [
            page.get_by_label(f"The answer on the {side}").inner_text()
            for side in ("left", "right")
        ]
        page.keyboard.press(str(1 + answers.index(first)) if first in answers else "0")
        page.get_by_text(re.compile(f"^{count - 1} pairs? left")).wait_for()
    page.get_by_text("How they stand").click()
    page.get_by_role("cell", name="told").wait_for()
    won, lost, tied = map(int, page.get_by_role("row").filter(has_text="told").inner_text().split()[-3:])  # fmt: skip
    assert (won + tied, lost) == (3, 0)
    assert won

    page.goto(f"{server.url}/tasks/words/knowledge")
    (tmp_path / "cats.md").write_text(
        "# Cats\n\nCats sleep sixteen hours a day.\n\n# Dogs\n\nDogs bark.\n"
    )
    page.set_input_files("input[type=file]", tmp_path / "cats.md")
    page.get_by_text("cats.md is here").wait_for()
    page.get_by_role("button", name="Take them in").click()
    done(page)
    page.goto(f"{server.url}/tasks/words/knowledge")
    page.get_by_label("Query").fill("how long do they sleep")
    page.get_by_role("button", name="Search").click()
    page.get_by_text(re.compile("1. Cats: Cats sleep sixteen hours")).first.wait_for()


def test_every_view_can_be_used_by_everyone(server, person, tmp_path):
    """Axe finds nothing serious on any view, dark or light; rating fits a phone."""
    import axe_playwright_python

    axe = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()
    server.ratchet("import", str(words_csv(tmp_path / "words.csv", 60)), "--task", "words")
    page = person()
    views = ["/", "/new", "/runs", "/people", *(f"/tasks/words/{v}" for v in ("examples", "playground", "compare", "ladder", "tune", "knowledge", "rating", "release"))]  # fmt: skip
    found = []
    for turn in range(2):
        for view in views:
            page.goto(server.url + view)
            page.wait_for_timeout(700)
            page.evaluate(axe)
            broken = page.evaluate("axe.run()")["violations"]
            found += [(turn, view, one["id"], one["nodes"][0]["html"][:120]) for one in broken if one["impact"] in ("serious", "critical")]  # fmt: skip
        page.get_by_label("Dark or light").click()
    assert found == []
    page.set_viewport_size({"width": 375, "height": 800})
    page.goto(f"{server.url}/tasks/words/rating")
    page.get_by_text("Nothing is left to grade").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
