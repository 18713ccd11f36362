"""What can be said of a text afterwards: does it repeat a real tweet, did a computer write it.

A text and the files that training made enter; verdicts, and the passages they rest on, leave.
Nothing here imports engines, models, HTTP, Gradio or HTML.
"""
