"""What `/checkpoint` tells: which model answers, what it takes, how good it was measured to be.

Knows an engine's identity, limits and the figures of training; must not know components or HTML.
"""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from demo.generation.introduction import SAMPLING, Introduction
from demo.generation.request import COUNT, FIELDS, MAX_PROMPT_CHARACTERS, MIN_ROOM_TOKENS
from demo.server.service import Service
from demo.ui import copy, verdict
from demo.ui.result import Record

PATIENCE_SECONDS = 60.0


def make_checkpoint(service: Service, introduction: Introduction) -> Any:
    """The endpoint's function; its signature and docstring are the API's docs."""

    def checkpoint() -> dict[str, Any]:
        engine = service.wait(PATIENCE_SECONDS)
        if engine is None:
            raise gr.Error(copy.STATUS["loading"], print_exception=False)
        return {
            "checkpoint": engine.identity.checkpoint,
            "revision": engine.identity.revision,
            "engine": engine.identity.engine,
            "precision": engine.identity.precision,
            "label": introduction.persona.label,
            "context_tokens": engine.context_tokens,
            "limits": _limits(engine.context_tokens),
            "defaults": {name: getattr(introduction.defaults, name) for name in SAMPLING},
            "figures": figures(service.metrics()),
            "plot": "/plot.png" if service.plot() else None,
        }

    checkpoint.__doc__ = copy.CHECKPOINT_DESCRIPTION
    return checkpoint


def _limits(context_tokens: int) -> Record:
    """Least and most of every field that a call takes."""
    fields = {field.name: [field.minimum, field.maximum] for field in (*FIELDS.values(), COUNT)}
    return {
        "prompt_characters": [0, MAX_PROMPT_CHARACTERS],
        "prompt_tokens": [0, context_tokens - MIN_ROOM_TOKENS],
        **fields,
        "detect_characters": [0, verdict.MAX_CHARACTERS],
    }


def figures(metrics: Mapping[str, Any]) -> Record:
    """Those of `metrics.json` that a visitor can make something of; what is not there is null."""
    return {
        "tweets_learnt_from": _at(metrics, "data", "splits", "train", "tweets"),
        "tweets_held_back": _at(metrics, "data", "splits", "test", "tweets"),
        "bits_per_byte": _at(metrics, "evaluation", "test", "checkpoint", "bits_per_byte"),
        "bits_per_byte_low": _at(metrics, "evaluation", "test", "checkpoint", "low"),
        "bits_per_byte_high": _at(metrics, "evaluation", "test", "checkpoint", "high"),
        "perplexity": _at(metrics, "evaluation", "test", "checkpoint", "perplexity"),
        "repeats_of_generated": _at(metrics, "texts", "verbatim", "generated"),
        "repeats_of_real": _at(metrics, "texts", "verbatim", "real"),
        "detector_accuracy": _at(metrics, "judges", "detector", "overall", "accuracy", "value"),
        "detector_roc_auc": _at(metrics, "judges", "detector", "overall", "roc_auc", "value"),
    }


def _at(metrics: Any, *path: str) -> float | None:
    """The number at that place, if there is one."""
    for name in path:
        metrics = metrics.get(name) if isinstance(metrics, Mapping) else None
    is_number = isinstance(metrics, int | float) and not isinstance(metrics, bool)
    return metrics if is_number else None
