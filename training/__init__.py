"""From an archive of tweets to a checkpoint: `python -m training VERB`.

An archive enters, a checkpoint folder leaves. Each verb is a function in the module of its name;
`training/__main__.py` lists them in the order that data flows. Training may import `demo`, which
must not import training. Only `release` knows Gradio and Spaces.
"""

from demo.checkpoints.files import CheckpointError
from demo.settings import InvalidSetting
from demo.subprocesses import NotEnoughMemory


class TrainingError(RuntimeError):
    """Ends a verb with exit code 1; the message is one sentence that says what to mend."""


# What the demo says of a checkpoint, setting or machine that will not do is such a sentence too.
EXPECTED = TrainingError, CheckpointError, InvalidSetting, NotEnoughMemory
