"""What counts as a web address in the configuration.

Functions with names, since annotations are evaluated where a lambda would not find what it calls.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

WEB_ADDRESS: Final = "an address that begins with http:// or https://"
TRACE_ID: Final = "{trace_id}"


def is_web_address(url: str) -> bool:
    """Whether it leads to a host over HTTP."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        return False


def is_public_address(url: str) -> bool:
    """Whether it is one that whoever looks at the page may know: with no name and no password in it."""
    return is_web_address(url) and "@" not in url


def is_trace_address(url: str) -> bool:
    """Whether it is one with a place for a trace's id."""
    return is_web_address(url) and TRACE_ID in url
