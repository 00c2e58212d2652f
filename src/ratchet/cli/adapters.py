"""Commands about the library of LoRA adapters: `adapters list`, `add`, `delete`, `export`."""

from pathlib import Path
from typing import Annotated

import typer

from ratchet.cli.measuring import Json

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    adapters = typer.Typer(no_args_is_help=True, help="The library of LoRA adapters.")
    adapters.command("list")(list_)
    adapters.command("add")(add_)
    adapters.command("delete")(delete_)
    adapters.command("export")(export_)
    app.add_typer(adapters, name="adapters")


def list_(json: Json = False) -> None:
    """List adapters by name: base, size, where each came from."""
    from rich.box import SIMPLE_HEAD
    from rich.text import Text

    from ratchet.cli.show import out, print_json
    from ratchet.cli.terminal import Table
    from ratchet.store import find_workspace
    from ratchet.store.adapters import list_adapters

    found = list_adapters(find_workspace(Path()).database)
    if json:
        print_json([vars(one) for one in found])
        return
    table = Table("name", "base", "MB", "from", box=SIMPLE_HEAD, pad_edge=False)
    for one in found:
        table.add_row(
            *map(
                Text,
                (
                    one.name,
                    one.base if one.adapter else "all weights",
                    f"{one.bytes / 1e6:.1f}",
                    one.source,
                ),
            )
        )
    out.print(
        table
        if found
        else "no adapters: fine-tuning jobs make them, `ratchet adapters add NAME FOLDER --base MODEL` puts one in"
    )


def add_(
    name: str,
    source: Annotated[
        str, typer.Argument(help="A folder, a .zip or .tar.gz, or an http(s) address of one.")
    ],
    base: Annotated[str, typer.Option(help="The local model that it is for.")] = "local:nano",
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Also from an address in a private network.")
    ] = False,
) -> None:
    """Put a LoRA adapter into the library, checked: safetensors alone, tensors that fit the base."""
    from ratchet.cli.show import out
    from ratchet.jobs.adapters import add_adapter
    from ratchet.jobs.arriving import arrived
    from ratchet.store import find_workspace

    workspace = find_workspace(Path())
    with arrived(source, workspace.adapters, allow_private=allow_private) as folder:
        made = add_adapter(workspace, name, base, folder, source=source)
    out.print(
        f"{made.name}: {made.bytes / 1e6:.1f} MB for {made.base}; ask the server for the model {made.name!r}"
    )


def delete_(name: str) -> None:
    """Take an adapter out of the library; one that a release needs stays."""
    from ratchet.cli.show import out
    from ratchet.jobs.adapters import remove_adapter
    from ratchet.store import find_workspace

    remove_adapter(find_workspace(Path()), name)
    out.print(f"{name}: deleted")


def export_(
    name: str,
    out: Annotated[
        Path,
        typer.Option(
            help="A .tar.gz file; with --merge a new folder; a .gguf file where llama.cpp is at hand."
        ),
    ],
    merge: Annotated[
        bool, typer.Option("--merge", help="Write the whole model with the adapter in its weights.")
    ] = False,
    dtype: Annotated[
        str, typer.Option(help="Of merged weights: float16, bfloat16 or float32.")
    ] = "float32",
) -> None:
    """Write an adapter as PEFT, transformers and vLLM take it, or merged into its base, for transformers or llama.cpp."""
    from ratchet.cli.show import out as show
    from ratchet.jobs.leaving import gguf_adapter, merge_adapter, pack
    from ratchet.store import find_workspace
    from ratchet.store.workspace import replacing

    workspace = find_workspace(Path())
    if out.suffix == ".gguf":
        gguf_adapter(workspace, name, out, dtype=dtype)
    elif merge:
        merge_adapter(workspace, name, out, dtype=dtype)
    else:
        with replacing(out) as file:
            pack(workspace, name, file)
    show.print(f"{out}: {name}{f', merged, {dtype}' if merge else ''}")
