"""The matrix: ``matrix.yaml`` becomes cells, and cells become a plan. Values in, values out: no Docker, no processes."""
