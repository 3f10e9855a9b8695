"""Reads documents, translates them segment by segment with an engine, writes the result, publishes events."""
