"""Images of a toy: the card of image classification under another name."""

from __future__ import annotations

from dataclasses import replace

from harness.tasks.image_classification.task import CARD as IMAGES

CARD = replace(IMAGES, name="toy-images", summary="one class for a toy image")
