"""Measures of the whole product beside its peers: `make bench`. Source: docs/performance.md."""
