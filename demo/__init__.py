"""The hosted demo: a prompt comes in, labelled parody of a tweet goes out.

`generation` turns a request into text, `serving` stands between the open internet
and an engine, `ui` is what a visitor sees. Nothing here knows how a model is trained.
"""
