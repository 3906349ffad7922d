"""Text generation: perplexity of held-out text, and requests of a prompt and a fixed continuation."""
