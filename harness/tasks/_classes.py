"""Metrics of tasks that give each example one of several classes.

The tallies of an example are its class in the data and the predicted one: two numbers, however many classes there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.tasks._bootstrap import Floats, ratio


@dataclass(frozen=True)
class Counts:
    """Examples of each class in each resample [resamples, classes]: right ones, predicted ones, and those in the data."""

    right: Floats
    predicted: Floats
    wanted: Floats

    @classmethod
    def of(cls, times: Floats, tallies: Floats) -> Counts:
        """Count, with ``times`` [resamples, examples] as weights; ``tallies`` are [examples, 2]."""
        names, codes = np.unique(tallies, return_inverse=True)  # what is in no tally needs no column
        (wanted, predicted), classes = codes.reshape(tallies.shape).T, len(names)
        return cls(
            _by_class(times * (wanted == predicted), wanted, classes),
            _by_class(times, predicted, classes),
            _by_class(times, wanted, classes),
        )


def accuracy(times: Floats, tallies: Floats) -> Floats:
    """Right examples over all examples."""
    right: Floats = times @ (tallies[:, 0] == tallies[:, 1]) / times.sum(axis=1)
    return right


def macro_f1(times: Floats, tallies: Floats) -> Floats:
    """The mean F1 of the classes that are in the data or were predicted, each weighing the same, as scikit-learn's."""
    counts = Counts.of(times, tallies)
    both = counts.predicted + counts.wanted
    f1 = ratio(2 * counts.right, both)
    mean: Floats = f1.sum(axis=1) / (both > 0).sum(axis=1)
    return mean


def matthews(times: Floats, tallies: Floats) -> Floats:
    """The correlation of predicted classes with those of the data, -1 to 1; 0 where one of them is always the same.

    Source: Gorodkin 2004, Comparing two K-category assignments by a K-category correlation coefficient.
    """
    counts = Counts.of(times, tallies)
    examples = times.sum(axis=1)
    covariance = counts.right.sum(axis=1) * examples - (counts.predicted * counts.wanted).sum(axis=1)
    spreads = [examples**2 - (each**2).sum(axis=1) for each in (counts.predicted, counts.wanted)]
    return ratio(covariance, np.sqrt(spreads[0] * spreads[1]))


def _by_class(weights: Floats, classes: np.ndarray, count: int) -> Floats:
    """The sum of the weights [resamples, examples] of the examples of each class, [resamples, count]."""
    order = np.argsort(classes, kind="stable")
    present, starts = np.unique(classes[order], return_index=True)
    sums = np.zeros((len(weights), count))
    sums[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
    return sums
