"""What must never leave this machine for the Hub: pickles, tokens, real tweets.

Enters: files. Leaves: nothing, or a refusal that names the file and the place, and repeats nothing
of it. There is no flag against it. Must not know the Hub, nor which files are wanted there.
"""
