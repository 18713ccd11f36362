"""What is measured, on this machine: `python -m benchmarks VERB`.

Checkpoint folders and a running demo enter; tables with their machine and date leave. `serve`,
`page`, `guess` and most of `stays_up` measure the app over HTTP; `raw`, `same_text` and `cluster`
open its engines directly.
"""


class BenchmarkError(RuntimeError):
    """Something the owner can mend; the message says what, where and how."""
