"""What an exported OpenVINO folder says of itself, for those who write it and those who run it.

Knows one small file; must not know how a model is written or run.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

DESCRIPTION = "export.json"
# Raise it when the export writes something else: older ones are then made anew.
FORMAT = 1


@dataclass(frozen=True)
class Exported:
    """`source` is the fingerprint of the checkpoint it was made from, `mark` the id that opens
    and closes a document, `cache_values_per_token` how many numbers one token takes in the
    key-value cache."""

    source: str
    precision: str
    mark: int
    vocabulary: int
    context_tokens: int
    cache_values_per_token: int
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads a folder's description.

        Raises:
            ValueError: there is none, or it is of another format.
        """
        try:
            exported = cls(**json.loads((folder / DESCRIPTION).read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise ValueError(f"{folder} has no readable {DESCRIPTION}.") from error
        if exported.format != FORMAT:
            raise ValueError(f"{folder} is of format {exported.format}, not {FORMAT}.")
        return exported

    def write(self, folder: Path) -> None:
        """Writes the folder's description."""
        text = json.dumps(asdict(self), indent=2) + "\n"
        (folder / DESCRIPTION).write_text(text, encoding="utf-8")
