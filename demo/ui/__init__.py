"""What a visitor sees.

A service and the persona enter, a Gradio Blocks page leaves.
Must not know how text is generated nor where a checkpoint comes from.
"""
