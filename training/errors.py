"""The error that ends a verb with one sentence and exit code 1."""


class TrainingError(RuntimeError):
    """Something the owner can mend; the message says what, where and how."""
