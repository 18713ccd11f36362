"""The HTTP side: raw requests come in, bounded ones reach the service and its engine.

Imports neither `demo.ui` nor `demo.game`. Counts texts and tokens; knows nothing of models.
"""
