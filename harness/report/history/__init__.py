"""Runs beside each other: two of them compared, and all that git holds."""
