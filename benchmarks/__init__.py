"""What is measured, on this machine: `python -m benchmarks VERB`.

Checkpoint folders and a running demo enter, tables with their outside load leave.
Must not know how the app is built inside: it is measured through its own doors.
"""
