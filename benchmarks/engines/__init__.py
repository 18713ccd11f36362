"""One worker program for each engine: `python -m benchmarks.engines.NAME`.

A checkpoint folder and commands of one line enter, answers of one line of JSON leave.
Must not know the other engines, nor what is made of the times.
"""
