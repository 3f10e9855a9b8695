"""Engines: each turns a segment of one language into another; all keep one contract (`engine.py`)."""
