"""Where bfloat16 helps, and what is left out of it.

Knows processors and attention; must not know a recipe or a loss.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

FULL_PRECISION_ATTENTION = "sdpa_float32"


def has_fast_bfloat16() -> bool:
    """True where bfloat16 is done in hardware; elsewhere autocast to it is slower than fp32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def keep_attention_in_float32(model: Any) -> None:
    """On a CPU, PyTorch's attention takes three times as long to differentiate in bfloat16 as
    in fp32, even with the conversions."""
    if torch.cuda.is_available() or model.config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(FULL_PRECISION_ATTENTION, _attention_in_float32)
    AttentionMaskInterface.register(FULL_PRECISION_ATTENTION, sdpa_mask)
    model.set_attn_implementation(FULL_PRECISION_ATTENTION)


def _attention_in_float32(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
) -> tuple[Tensor, None]:
    with torch.autocast(query.device.type, enabled=False):
        output, _ = sdpa_attention_forward(
            module, query.float(), key.float(), value.float(), *args, **kwargs
        )
    return output.to(query.dtype), None
