"""The limits of every number that a verb takes: the least and the most, both allowed."""

from training.recipe import MAX_RANK

TOKENS = (1, 10**13)
STEPS = (1, 1_000_000)
# From less than a second to thirty days.
MINUTES = (0.01, 43_200.0)
EVALUATIONS = (1, 10_000)
RANK = (1, MAX_RANK)
SAMPLES = (1, 1_000_000)
# `evaluate` may draw none.
SAMPLES_OR_NONE = (0, SAMPLES[1])
SEED = (0, 2**63 - 1)
