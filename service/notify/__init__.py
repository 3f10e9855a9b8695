"""Tells people outside of the page: what has ended, failed, gone quiet, or lost its worker."""
