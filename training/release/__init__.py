"""What `publish` and `deploy` do on the Hub: a thin layer over huggingface_hub's own calls.

A trained checkpoint, prepared data or this checkout enters; one verified commit leaves, or one
sentence that says what is wrong, what to do, and what was changed on the Hub before. No module here
imports torch or knows how a model is trained.
"""
