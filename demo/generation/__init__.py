"""From a prompt to text.

A `GenerationRequest` and a checkpoint enter, `Chunk`s of text leave. Knows nothing of visitors,
Gradio or HTML: never imports `demo.server`, `demo.ui` or `demo.game`. Only `remote` speaks HTTP.
"""
