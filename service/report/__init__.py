"""A session as one page to print or keep: no script, nothing loaded, everything escaped."""
