"""Palettes: a tensor as few centroids and, for every weight, the index of its centroid, packed into whole bytes.

In a checkpoint of the form ``hf/clustered`` the tensor ``x`` is stored as ``x.centroids``, fp32 [clusters], ascending, and
``x.indices``, uint8: its weights in row-major order, ``8 / bits`` to a byte, the first in the lowest bits. The manifest's
``extra`` names the shape of each, ``clustered``, and the ``index_bits``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_BINS = 8192  # k-means runs on so many weighted points at most
_WIDTHS = (1, 2, 4, 8)


def index_bits(clusters: int) -> int:
    """Bits of one index: the least of 1, 2, 4 and 8 that tell ``clusters`` (at most 256) apart."""
    return next(bits for bits in _WIDTHS if clusters <= 2**bits)


def cluster(values: Floats, clusters: int, seed: int) -> tuple[Floats, Indices]:
    """Centroids, ascending, and the index of the nearest one for each of ``values`` [n]: k-means in one dimension.

    Many values are first gathered in bins of equal width, each standing for their mean. Centroids are then moved to the
    mean of the values that are really nearest, one step of Lloyd's algorithm (Lloyd 1982) on all of them.
    """
    from sklearn.cluster import KMeans

    points, counts = _points(values)
    if len(points) <= clusters:
        centroids = points
    else:
        fitted = KMeans(clusters, n_init=1, random_state=seed).fit(points[:, None], sample_weight=counts)
        centroids = np.sort(fitted.cluster_centers_[:, 0])
    nearest = _nearest(values, centroids)
    members = np.bincount(nearest, minlength=len(centroids))
    sums = np.bincount(nearest, values.astype(np.float64), len(centroids))
    moved = np.sort(np.divide(sums, members, out=centroids.astype(np.float64), where=members > 0)).astype(np.float32)
    return moved, _nearest(values, moved).astype(np.uint8)


def pack(indices: Indices, bits: int) -> Indices:
    """Indices below ``2**bits`` as bytes, ``8 / bits`` to a byte; the last byte is filled up with zeros."""
    per_byte = 8 // bits
    padded = np.zeros(-(-len(indices) // per_byte) * per_byte, np.uint8)
    padded[: len(indices)] = indices
    shifts = (np.arange(per_byte) * bits).astype(np.uint8)
    packed: Indices = np.bitwise_or.reduce(padded.reshape(-1, per_byte) << shifts, axis=1)
    return packed


def unpack(packed: Indices, bits: int, count: int) -> Indices:
    """The first ``count`` indices that ``pack`` was given."""
    shifts = (np.arange(8 // bits) * bits).astype(np.uint8)
    indices: Indices = ((packed[:, None] >> shifts) & (2**bits - 1)).reshape(-1)[:count]
    return indices


def restored(tensors: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """The tensors of a clustered checkpoint (torch's, by name) with every palette turned back into weights."""
    import torch

    weights = dict(tensors)
    for name, shape in extra["clustered"].items():
        packed, centroids = weights.pop(f"{name}.indices").numpy(), weights.pop(f"{name}.centroids").numpy()
        indices = unpack(packed, extra["index_bits"], int(np.prod(shape)))
        weights[name] = torch.from_numpy(centroids[indices].reshape(shape))
    return weights


def _points(values: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Distinct values, or the means of bins, and how many values each stands for."""
    low, high = float(values.min()), float(values.max())
    if len(values) <= _BINS or low == high:
        distinct, counts = np.unique(values.astype(np.float64), return_counts=True)
        return distinct, counts
    bins = ((values.astype(np.float64) - low) * ((_BINS - 1) / (high - low))).astype(np.int64)
    counts = np.bincount(bins, minlength=_BINS)
    sums = np.bincount(bins, values.astype(np.float64), _BINS)
    return sums[counts > 0] / counts[counts > 0], counts[counts > 0]


def _nearest(values: Floats, centroids: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The index of the nearest of ascending centroids."""
    return np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)
