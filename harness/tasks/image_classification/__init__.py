"""Image classification: accuracy on images that are scaled and normalized as the model's own configuration says."""
