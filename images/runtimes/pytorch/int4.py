"""Linear layers with 4-bit weights in groups, multiplied by PyTorch's own kernels: weights stay packed in memory.

Reads the layout of GPTQ checkpoints (``checkpoint_format`` gptq_v2, no reordering): ``qweight`` int32 [in / 8, out],
``qzeros`` int32 [in / group, out / 8], ``scales`` float16 [in / group, out]; weight = scale * (code - zero).
Imported inside functions only, for it imports torch.
"""

from __future__ import annotations

from typing import Any

import torch

from harness.contracts.adapter import Unsupported

aten = torch.ops.aten
PARTS = ("qweight", "qzeros", "scales", "bias")
#: How many tiles of 16 inputs the CUDA kernel may take at once, the fastest first.
TILES = (8, 4, 2)


class Int4Linear(torch.nn.Module):  # type: ignore[misc]
    """A linear layer for bfloat16 activations. On a GPU the kernel needs compute capability 8.0."""

    def __init__(self, qweight: Any, qzeros: Any, scales: Any, bias: Any, device: str) -> None:
        super().__init__()
        codes, zeros = unpack(qweight), unpack(qzeros.T.contiguous()).T  # [in, out], [in / group, out]
        self.group, self.outputs = len(codes) // len(scales), codes.shape[1]
        # The kernels take code 8 for zero and add an offset: scale * (code - 8) + scale * (8 - zero).
        offsets = (8.0 - zeros.float()) * scales.float()
        both = torch.stack([scales.float(), offsets], dim=-1).to(torch.bfloat16)
        self.register_buffer("scales_and_offsets", both.contiguous())
        self.register_buffer("weight", _packed(codes.T.contiguous(), device))
        self.register_buffer("bias", None if bias is None else bias.to(torch.bfloat16))
        self.product = aten._weight_int4pack_mm_for_cpu if device == "cpu" else aten._weight_int4pack_mm

    def forward(self, inputs: Any) -> Any:
        """``inputs`` bfloat16 [..., in] -> bfloat16 [..., out]."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        outputs = self.product(rows, self.weight, self.group, self.scales_and_offsets)
        outputs = outputs.view(*inputs.shape[:-1], self.outputs)
        return outputs if self.bias is None else outputs + self.bias


def layers(stored: dict[str, Any], names: list[str], device: str) -> dict[str, Int4Linear]:
    """The layers of a checkpoint by name; what belongs to them is taken out of ``stored``."""
    made = {}
    for name in names:
        qweight, qzeros, scales, bias = (stored.pop(f"{name}.{part}", None) for part in PARTS)
        made[name] = Int4Linear(qweight, qzeros, scales, bias, device)
    return made


def unpack(words: Any) -> Any:
    """int32 [n, m], eight codes each, the first in the lowest bits -> int32 [8 n, m]."""
    codes = torch.stack([(words >> (4 * place)) & 15 for place in range(8)], dim=1)
    return codes.reshape(-1, words.shape[1])


def _packed(codes: Any, device: str) -> Any:
    """int32 [out, in] in the order in which the kernel of the device reads it."""
    if device == "cpu":
        return aten._convert_weight_to_int4pack_for_cpu(codes, 1)
    tiles = next((tiles for tiles in TILES if codes.shape[1] % (16 * tiles) == 0), None)
    if tiles is None:
        raise Unsupported(f"PyTorch's 4-bit kernel on a GPU needs a width that 32 divides, not {codes.shape[1]}")
    pairs = (codes[:, ::2] << 4 | codes[:, 1::2]).to(torch.uint8)
    return aten._convert_weight_to_int4pack(pairs.to(device).contiguous(), tiles)
