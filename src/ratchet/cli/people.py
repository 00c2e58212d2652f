"""Commands about people who use the page: `people add`, `list` and `remove`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ratchet.cli.measuring import Json

__all__ = ["add_to"]

PASSWORD = "RATCHET_PASSWORD"  # noqa: S105 - the name of a variable
Who = Annotated[str, typer.Argument(help="The name that the person logs in with.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    people = typer.Typer(no_args_is_help=True, help="Say who may use the web page.")
    people.command("add")(people_add)
    people.command("list")(people_list)
    people.command("remove")(people_remove)
    app.add_typer(people, name="people")


def people_add(
    name: Who,
    role: Annotated[str, typer.Option(help="viewer, editor or admin.")] = "editor",
) -> None:
    """Add a person, or give one a new password and role; the password is asked for, or taken from RATCHET_PASSWORD."""
    from ratchet.cli.show import out
    from ratchet.core.errors import UsageError
    from ratchet.store import find_workspace
    from ratchet.store.people import ROLES, add_person

    chosen = next((one for one in ROLES if one == role), None)
    if chosen is None:
        raise UsageError(f"a role is {', '.join(ROLES)}; got {role!r}")
    password = os.environ.get(PASSWORD) or (typer.prompt("Password", hide_input=True, confirmation_prompt=True) if sys.stdin.isatty() else "")  # fmt: skip
    made = add_person(find_workspace(Path()).database, name, password, chosen)
    out.print(f"{made.name}: {made.role}")


def people_list(json: Json = False) -> None:
    """List who may use the page."""
    from ratchet.cli.show import out, print_json
    from ratchet.store import find_workspace
    from ratchet.store.people import load_people

    found = [{"name": one.name, "role": one.role} for one in load_people(find_workspace(Path()).database)]  # fmt: skip
    if json:
        print_json(found)
        return
    for one in found:
        out.print(f"{one['name']}: {one['role']}")
    if not found:
        out.print("nobody: on this machine the page asks for no login, and others cannot use it")


def people_remove(name: Who) -> None:
    """Forget a person, who is out with the next click."""
    from ratchet.cli.show import out
    from ratchet.store import find_workspace
    from ratchet.store.people import remove_person

    remove_person(find_workspace(Path()).database, name)
    out.print(f"{name}: removed")
