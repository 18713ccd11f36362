"""What a visitor sees and a program calls: a service and the persona enter, a Gradio page leaves.

Knows nothing of how text is generated or where a checkpoint comes from; imports no `demo.launch`.
"""
