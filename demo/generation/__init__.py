"""From a prompt to text.

A `GenerationRequest` and a checkpoint enter, `Chunk`s of text leave.
Knows models and tokens; must not know HTTP, Gradio or HTML.
"""
