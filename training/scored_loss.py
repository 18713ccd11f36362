"""The loss of the scored positions alone, with its gradient taken piece by piece.

Knows hidden states, a head and labels; must not know a recipe or an optimizer.
A vocabulary is so much wider than a model that logits cost more in memory traffic than in
arithmetic. So those of a piece become their own gradient in place (the method of Liger Kernel, Hsu
et al. 2024); they are kept for a whole batch, in the autocast's dtype, only where the head is
trained.
"""

import functools
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaForCausalLM
from transformers.modeling_outputs import CausalLMOutputWithPast

from training.documents import UNSCORED

# Rows of logits that exist at once.
PIECE = 256


class _SummedLoss(torch.autograd.Function):
    """Cross-entropy in nats of `hidden @ head.T` against `targets`, summed.

    `hidden` is (positions, width), `head` (vocabulary, width), `targets` (positions,). Logits and
    their gradients are in the dtype of `hidden`, the loss in fp32; so are the products that the
    gradients of `hidden` and `head` are made of, before they take the dtype of each.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        loss = hidden.new_zeros((), dtype=torch.float32)
        cast = head.to(hidden.dtype)
        # Kept whole where the head is trained: its gradient is then one product.
        slopes = hidden.new_empty(len(hidden) if ctx.needs_input_grad[1] else 0, len(head))
        gradient = torch.empty_like(hidden)
        for begin in range(0, len(hidden), PIECE):
            piece = slice(begin, begin + PIECE)
            wanted = targets[piece].unsqueeze(1)
            scores = torch.log_softmax(hidden[piece] @ cast.T, dim=1, dtype=torch.float32)
            loss -= scores.gather(1, wanted).sum()
            if any(ctx.needs_input_grad):
                slope = scores.exp_()
                slope.scatter_add_(1, wanted, slope.new_full(wanted.shape, -1.0))
                gradient[piece] = slope.to(cast.dtype) @ cast
                if len(slopes):
                    slopes[piece] = slope
        of_head = (slopes.T @ hidden).to(head.dtype) if len(slopes) else None
        ctx.save_for_backward(gradient, of_head)
        return loss

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor | None, None]:
        gradient, of_head = ctx.saved_tensors
        of_hidden = gradient * outer[0].to(gradient.dtype)
        return of_hidden, None if of_head is None else of_head * outer[0], None


def scored_loss(hidden: Tensor, head: Tensor, labels: Tensor, scored: Tensor | None) -> Tensor:
    """Next-token cross-entropy in nats over the labels that are scored, divided by `scored`,
    or by their number; shapes (rows, length, width), (vocabulary, width), (rows, length)."""
    targets = labels[:, 1:]
    chosen = targets != UNSCORED
    device = hidden.device.type
    autocast = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if autocast else hidden.dtype
    total: Tensor = _SummedLoss.apply(  # type: ignore[no-untyped-call]
        hidden[:, :-1][chosen].to(dtype), head, targets[chosen]
    )
    return total / (chosen.sum() if scored is None else scored)


def score_in_pieces(model: Any) -> None:
    """Makes the model answer labels with `scored_loss`, and no logits; without labels it is as
    before. Only of Llama is it known that logits are the head's output as it is; any other
    model is left alone."""
    if type(model) is not LlamaForCausalLM:
        return
    whole = model.forward

    @functools.wraps(whole)
    def forward(
        *args: Any,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        if labels is None:
            answer: CausalLMOutputWithPast = whole(*args, **kwargs)
            return answer
        hidden = model.model(*args, **kwargs).last_hidden_state
        loss = scored_loss(hidden, model.lm_head.weight, labels, num_items_in_batch)
        return CausalLMOutputWithPast(loss=loss)

    model.forward = forward
