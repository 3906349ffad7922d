"""From the store to rows: what the steps of a plan left becomes the result record."""
