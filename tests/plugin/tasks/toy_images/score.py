"""Scored as images are."""

from harness.tasks.image_classification.score import METRICS, evaluation_batches, reduce, score, training_examples

__all__ = ["METRICS", "evaluation_batches", "reduce", "score", "training_examples"]
