"""From a prompt to text.

A `GenerationRequest` and a checkpoint enter, `Chunk`s of text leave. Knows nothing of HTTP, Gradio
or HTML: never imports `demo.server`, `demo.ui` or `demo.game`.
"""
