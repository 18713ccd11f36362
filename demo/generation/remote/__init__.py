"""The engine that asks a completions server elsewhere: token ids go out, token ids come back.

A checkpoint's tokenizer and the owner's ENGINE_* settings enter. Knows no weights.
"""
