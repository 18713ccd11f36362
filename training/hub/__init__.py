"""The Hub, as the verbs that change it need it: its client, its errors in sentences, what was done.

Enters: what a verb wants done. Leaves: that it was done, or one sentence that says what was not and
what to do. Must not know checkpoints, nor what a Space runs.
"""
