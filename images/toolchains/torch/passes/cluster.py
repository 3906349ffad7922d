"""Weight clustering: each tensor's weights share a few values, and the file holds which value each weight has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, Parameter, PassCard
from harness.toolchain.checkpoint import WEIGHTS, bits_per_weight, copy_companions, tensors

CARD = PassCard(
    name="cluster",
    summary="weights of every matrix share a few values, found by scikit-learn's k-means and stored as packed indices",
    accepts=(Form("hf", "fp32"),),
    makes=Form("hf", "clustered"),
    source="Han, Mao & Dally 2016, Deep Compression, https://arxiv.org/abs/1510.00149; "
    "https://scikit-learn.org/stable/modules/generated/sklearn.cluster.KMeans.html",
    costs="other",
    parameters={
        "clusters": Parameter(256, "values a tensor may have; 16 take 4 bits a weight", minimum=2, maximum=256)
    },
)

_WORTH = 4  # a tensor has at least so many weights a centroid, or its palette would outweigh what it saves


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Cluster every fp32 matrix, convolution kernel and embedding; vectors (biases, norms) and small tensors stay.

    :mod:`palette` says how the file is laid out. What is counted is counted on the written file, read again.
    Raises ConversionError where no tensor is large enough.
    """
    import palette
    import torch
    from safetensors.torch import load_file, save_file

    clusters = parameters["clusters"]
    before = tensors(source)
    stored, weights = dict(before), sum(tensor.numel() for tensor in before.values())
    chosen = [
        name
        for name, tensor in before.items()
        if tensor.dim() > 1 and tensor.dtype == torch.float32 and tensor.numel() >= _WORTH * clusters
    ]
    if not chosen:
        raise ConversionError(
            f"no tensor has the {_WORTH * clusters} weights that {clusters} clusters are worth: ask for fewer"
        )
    bits = palette.index_bits(clusters)
    for at, name in enumerate(chosen):
        context.progress(at / len(chosen), name)
        centroids, indices = palette.cluster(before[name].flatten().numpy(), clusters, context.seed)
        del stored[name]
        stored[f"{name}.centroids"] = torch.from_numpy(centroids)
        stored[f"{name}.indices"] = torch.from_numpy(palette.pack(indices, bits))
    copy_companions(source, out)
    save_file(stored, out / WEIGHTS, {"format": "pt"})
    shapes = {name: list(before[name].shape) for name in chosen}
    extra = {"clustered": shapes, "index_bits": bits}
    written = palette.restored(load_file(out / WEIGHTS), extra)
    effect = {
        "tensors_clustered": len(chosen),
        "share_of_weights_clustered": round(sum(math.prod(shape) for shape in shapes.values()) / weights, 4),
        "max_distinct_values_per_tensor": max(len(written[name].unique()) for name in chosen),
        "bits_per_weight": bits_per_weight(out / WEIGHTS, weights),
        "max_abs_weight_change": max(float((written[name] - before[name]).abs().max()) for name in chosen),
    }
    return Made([WEIGHTS], effect=effect, extra={**source.manifest.extra, **extra})
