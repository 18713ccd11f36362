"""A Space on the Hub: what is pushed to it, how it is set, waited for and asked.

Enters: the owner's wishes and this checkout. Leaves: a running Space, or one sentence that says
what is wrong and what to do. Must not know models, and never sends a token that it was not told to.
"""
