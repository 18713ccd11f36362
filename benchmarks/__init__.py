"""What is measured, on this machine: `python -m benchmarks VERB`.

Checkpoint folders and a running demo enter; tables with their machine and date leave. The app is
measured through its own doors: nothing here imports how it is built inside.
"""


class BenchmarkError(RuntimeError):
    """Something the owner can mend; the message says what, where and how."""
