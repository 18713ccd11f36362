"""What goes onto the Hub: the folder of a checkpoint or of held-out tweets, and whether it may.

Enters: a trained checkpoint, or prepared data. Leaves: a folder with its card and its sums, or a
refusal. Must not know the Hub.
"""
