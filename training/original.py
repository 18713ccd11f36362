"""What the 2023 notebook really fed to its model: the noise of its data, bug by bug.

Knows the notebook's faults; must not know tokens. Used by the recipe `original-as-run` alone,
so that the original is beaten as it was, not as it was meant.
"""

import csv
import io
from collections.abc import Sequence


def notebook_text(texts: Sequence[str]) -> str:
    """The running text of the notebook's CSV file, which was tokenised as it lay there.

    `amp` was deleted wherever it stood, which turns "campaign" into "caign"; texts with a comma
    or a quotation mark stand in CSV's quotation marks, their own doubled; nothing but a line
    break says where a tweet ends.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([text.replace("amp", "")] for text in texts)
    return file.getvalue()
