"""Run a plan: what is missing, step by step, into the store."""
