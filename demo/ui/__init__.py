"""What a visitor sees.

An engine and the settings enter, a Gradio Blocks page leaves.
Must not know how text is generated nor where a checkpoint comes from.
"""
