"""Text classification: one class for a text or for a pair of texts."""
