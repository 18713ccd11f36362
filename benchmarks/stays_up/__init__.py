"""`stays_up`: what visitors, attackers, a lost network, a dying Hub and a scarce machine cost.

Each trial is a function that takes the `App` under trial and gives rows: what was done, what was
measured, the bar, and whether it held. `run.py` lists them all; the stand-ins (a Hub, a line that
can be cut, fuzzed requests) are those of the tests.
"""

from benchmarks.stays_up.run import stays_up

__all__ = ["stays_up"]
