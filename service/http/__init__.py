"""HTTP routes: ingest over POST, reads, health, metrics and the pages."""
