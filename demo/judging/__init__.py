"""What can be said of a text afterwards: does it repeat a real tweet, did a computer write it.

A text and files made by training enter, verdicts with the passages they rest on leave.
Knows text and hashes; must not know engines, models, HTTP, Gradio or HTML.
"""
