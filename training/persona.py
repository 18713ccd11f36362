"""`persona`: corrects whose tweets a checkpoint says that it imitates."""

from pathlib import Path
from typing import Annotated

import typer

from demo.checkpoints.files import PERSONA
from demo.checkpoints.persona import InvalidPersona, Persona, persona_of
from training.checkpoints import record
from training.files import read_metrics


def persona(
    file: Annotated[Path, typer.Argument(help="a .toml like training/persona.toml")],
    checkpoint: Annotated[Path, typer.Option(help="what finetune wrote")],
) -> None:
    metrics = read_metrics(checkpoint)
    try:
        print(f"It was: {persona_of(checkpoint)}")
    except InvalidPersona as error:
        print(f"It was one that could not be used: {error}")
    author = Persona.read(file)
    print(author)
    record(checkpoint, metrics, {PERSONA: lambda path: author.write(path.parent)})
