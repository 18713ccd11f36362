"""What stands between the open internet and an engine.

Environment variables and raw HTTP enter, typed settings and bounded requests leave.
Must not know tokens, weights or what a page looks like.
"""
