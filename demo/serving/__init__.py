"""What stands between the open internet and an engine.

Environment variables and raw HTTP enter, typed settings and bounded requests leave.
Must not know models, tokens or what a page looks like.
"""
