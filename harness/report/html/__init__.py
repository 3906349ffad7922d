"""The pages: the report and the history of a site, each one file."""
