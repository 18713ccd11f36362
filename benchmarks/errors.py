"""The one error a verb ends with; must not know any verb."""


class BenchmarkError(RuntimeError):
    """Something the owner can mend; the message says what, where and how."""
