"""The run as a table of values: rows, groups, columns, and what they say."""
