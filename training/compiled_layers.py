"""A model's layers, compiled for training.

Knows torch.compile; must not know what is trained or on what.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException


def compile_layers(model: Any) -> bool:
    """Compiles the forward pass of the layers that the model repeats; False, with the model
    left alone, where nothing can be compiled (it takes a C++ compiler and Python's headers).

    A layer is some dozens of small operations, each a pass through memory and a meeting of
    all threads; compiled, it is a few loops. The layers are alike, so one compilation serves
    all. It is for one shape of input: evaluation and sampling, where shapes vary, go on as before.
    """
    if not _can_compile():
        return False
    lists = (part for part in model.modules() if isinstance(part, nn.ModuleList))
    for layer in max(lists, key=len):
        layer.forward = _in_training(layer, torch.compile(layer.forward, dynamic=False))
    return True


def _in_training(layer: nn.Module, compiled: Callable[..., Any]) -> Callable[..., Any]:
    plain = layer.forward

    @functools.wraps(plain)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return (compiled if layer.training else plain)(*args, **kwargs)

    return forward


def _can_compile() -> bool:
    """Whether the simplest function can be."""
    try:
        torch.compile(torch.neg)(torch.ones(1))
    except TorchDynamoException:
        return False
    return True
