"""What crosses a container: cards, adapters, artifacts, steps and records. Standard library and numpy only."""
