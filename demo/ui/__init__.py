"""What a visitor sees and a program calls: a service and the persona enter, a Gradio page leaves.

Knows nothing of how text is generated or where a checkpoint comes from; imports no `demo.launch`.
"""

from demo.ui.stubs import without_stubs

# Imported here first, before any module of this package imports it.
with without_stubs():
    import gradio  # noqa: F401
