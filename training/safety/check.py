"""All that must not leave, looked for in all files.

Knows the order of the tests; must not know what they look for.
"""

from collections.abc import Mapping
from pathlib import Path

from training.errors import TrainingError
from training.safety.pickles import require_no_pickle
from training.safety.tokens import require_no_token
from training.safety.tweets import KnownTweets, require_no_tweet


def files_below(folder: Path) -> dict[str, Path]:
    """Every file of a folder, by the name that it is published under."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }


def require_safe(files: Mapping[str, Path], tweets: KnownTweets | None) -> None:
    """Reads every file, by name; without `tweets`, texts may be anybody's.

    Raises:
        TrainingError: one must not be published; it is named, and what is wrong with it.
    """
    for name, path in files.items():
        try:
            require_no_token(path, name)
            require_no_pickle(path, name)
            if tweets is not None:
                require_no_tweet(path, name, tweets)
        except OSError as error:
            raise TrainingError(f"{path} cannot be read: {error.strerror}.") from error
