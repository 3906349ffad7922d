"""Models of the zoo, one module each: what they start from, and how they are trained."""
