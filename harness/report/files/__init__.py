"""The run as files for other programs and documents: JSON, CSV, Markdown, LaTeX."""
