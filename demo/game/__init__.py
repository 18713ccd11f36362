"""The guessing game: a tweet, real or generated, and a visitor who says which.

Real tweets of prepared data and the engine's spare time enter, rounds and their truths leave.
Must not know how a text is generated, nor what the page that shows a round looks like.
"""
