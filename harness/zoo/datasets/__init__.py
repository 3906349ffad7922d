"""Data sets of the zoo, one module each."""
