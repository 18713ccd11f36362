"""The guessing game: a tweet, real or generated, and a visitor who says which.

Real tweets of prepared data and texts that the engine writes while it is idle enter; rounds, the
Daily Ten, real tweets to fool a friend with, and the truth once a round is answered, leave. Nothing
here knows how a text is generated or what the page looks like.
"""
