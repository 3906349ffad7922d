"""Sphinx configuration. Pages are plain Markdown (MyST), so that they also read well where no site is built."""

import tomllib
from pathlib import Path

project = "Compression Matrix"
author = "the Compression Matrix contributors"
release = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))["project"]["version"]

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "Compression Matrix"
