"""Makes training faster and learns the same up to rounding: loss, compiled layers, memory."""

import ctypes
import functools
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from transformers import LlamaForCausalLM
from transformers.modeling_outputs import CausalLMOutputWithPast

from training.documents import UNSCORED

# glibc's parameters of mallopt: the free memory above which the heap shrinks, and how many
# allocations may have a mapping of their own.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
# Rows of logits that exist at once: in fewer, products with the head are slower.
CHUNK = 1_024


class _SummedLoss(torch.autograd.Function):
    """Cross-entropy in nats of `hidden @ head.T` against weighted labels, summed.

    A vocabulary is so much wider than a model that logits cost more in memory traffic than in
    arithmetic, so the logits of a chunk are turned into their own gradient in place (as in Liger
    Kernel, Hsu et al. 2024). They are stored for the whole batch only if the head is trained.

    `hidden` is (positions, width), `head` (vocabulary, width), `targets` and their `weights`, whose
    sum is 1 at each position, (positions, labels). Logits and their gradients have the dtype of
    `hidden`; the loss and the sums behind the gradients are fp32.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        loss = hidden.new_zeros((), dtype=torch.float32)
        cast = head.to(hidden.dtype)
        # float16 has no room for the probability of an unlikely token.
        precise = torch.float32 if hidden.dtype == torch.float16 else hidden.dtype
        # Of the whole batch if the head is trained: its gradient is then one product.
        slopes = hidden.new_empty(len(hidden) if ctx.needs_input_grad[1] else 0, len(head))
        gradient = torch.empty_like(hidden)
        for begin in range(0, len(hidden), CHUNK):
            chunk = slice(begin, begin + CHUNK)
            wanted, shares = targets[chunk], weights[chunk]
            # Sums are fp32 inside, also of bfloat16.
            slope = torch.softmax(hidden[chunk] @ cast.T, dim=1, dtype=precise)
            loss -= (shares * slope.gather(1, wanted).float().log()).sum()
            if any(ctx.needs_input_grad):
                slope.scatter_add_(1, wanted, -shares.to(slope.dtype))
                slope = slope.to(cast.dtype)
                gradient[chunk] = slope @ cast
                if len(slopes):
                    slopes[chunk] = slope
        of_head = (slopes.T @ hidden).to(head.dtype) if len(slopes) else None
        ctx.save_for_backward(gradient, of_head)
        return loss

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        gradient, of_head = ctx.saved_tensors
        of_hidden = gradient * outer[0].to(gradient.dtype)
        return of_hidden, None if of_head is None else of_head * outer[0], None, None


def chunk_loss(model: Any) -> None:
    """Makes a Llama compute its loss in chunks, over scored positions only, without returning
    logits. Without labels it works as before. Other architectures are left alone: their logits
    may be more than the head's plain output.

    Besides `labels` it takes soft ones, of the same positions: `soft_ids` and `soft_weights`, both
    (rows, length, labels), whose weights the position's own label makes up to 1."""
    if type(model) is not LlamaForCausalLM:
        return
    original = model.forward

    @functools.wraps(original)
    def forward(
        *args: Any,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | None = None,
        soft_ids: Tensor | None = None,
        soft_weights: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        if labels is None:
            answer: CausalLMOutputWithPast = original(*args, **kwargs)
            return answer
        hidden = model.model(*args, **kwargs).last_hidden_state
        scored = labels[:, 1:] != UNSCORED
        targets = labels[:, 1:][scored].unsqueeze(1)
        weights = torch.ones_like(targets, dtype=torch.float32)
        if soft_ids is not None and soft_weights is not None:
            softer = soft_weights[:, 1:][scored].float()
            targets = torch.cat([targets, soft_ids[:, 1:][scored].long()], dim=1)
            weights = torch.cat([weights - softer.sum(dim=1, keepdim=True), softer], dim=1)
        total = _summed_loss(hidden[:, :-1][scored], model.lm_head.weight, targets, weights)
        loss = total / (len(targets) if num_items_in_batch is None else num_items_in_batch)
        return CausalLMOutputWithPast(loss=loss)

    model.forward = forward


def _summed_loss(hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        hidden = hidden.to(torch.get_autocast_dtype(device))
    total: Tensor = _SummedLoss.apply(  # type: ignore[no-untyped-call]
        hidden, head, targets, weights
    )
    return total


def keep_memory() -> None:
    """Lets this process keep the memory that it frees, from now on.

    By default glibc takes each large tensor from the kernel and gives it back, and the kernel fills
    it with zeros, page by page: as much work as the arithmetic of most operations. Elsewhere than
    with glibc nothing is changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def compile_layers(model: Any) -> bool:
    """Compiles the forward pass of the layers that the model repeats, for training only.

    A layer is dozens of small operations, each a pass through memory; compiled, it is a few loops.
    The layers are alike, so one compilation serves all. It is for one shape of input: evaluation
    and sampling, where shapes vary, run uncompiled. Returns False, and leaves the model alone, if
    nothing can be compiled: that takes a C++ compiler and Python's headers.
    """
    try:
        torch.compile(torch.neg)(torch.ones(1))
    except TorchDynamoException:
        return False
    lists = (part for part in model.modules() if isinstance(part, nn.ModuleList))
    for layer in max(lists, key=len):
        layer.forward = _when_training(layer, torch.compile(layer.forward, dynamic=False))
    return True


def _when_training(layer: nn.Module, compiled: Callable[..., Any]) -> Callable[..., Any]:
    plain = layer.forward

    @functools.wraps(plain)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return (compiled if layer.training else plain)(*args, **kwargs)

    return forward
