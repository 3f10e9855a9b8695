"""Real parts a test needs: absent, a test skips with its reason on a user's machine and fails in CI."""

import os

import pytest


def need(present: bool, reason: str) -> None:
    """Skip the calling test unless `present`; with `CI=true` fail instead, since CI installs every part."""
    if present:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have this part: {reason}")
    pytest.skip(reason)
