"""A file of the page as it is sent: read and compressed once, then the same bytes for every browser."""

from __future__ import annotations

import gzip
from hashlib import blake2b
from mimetypes import MimeTypes
from typing import Final

from aiohttp import web

GZIP: Final = ".gz"  # ends the tag of the compressed bytes: they are not those of the plain file
SMALLEST: Final = 0.95  # what hardly shrinks is sent as it is
_types: Final = MimeTypes()  # without the machine's own lists
_types.add_type("application/manifest+json", ".webmanifest")
_UTF8: Final = frozenset(
    {"application/javascript", "application/json", "application/manifest+json", "image/svg+xml"}
)
# Of what a browser may open or run by itself; to a module or a style they would say nothing, 50 times a page.
_DOCUMENT: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}


class Asset:
    """The bytes of one file, plain and compressed, and their tag."""

    def __init__(self, name: str, body: bytes, *, document: bool = False) -> None:
        """`document` is one that runs what it loads, and gets the policy for it."""
        self.body = body
        self._headers = _HEADERS | (_DOCUMENT if document else {})
        self._tag = blake2b(body, digest_size=12).hexdigest()
        self._type = _types.guess_type(name)[0] or "application/octet-stream"
        self._is_text = self._type.startswith("text/") or self._type in _UTF8
        packed = gzip.compress(body, mtime=0) if self._is_text else body
        self._packed = packed if len(packed) < SMALLEST * len(body) else None

    def response(self, request: web.Request, cache: str) -> web.Response:
        """It, or a 304 where the browser has it; `cache` is the answer's `Cache-Control`.

        Not a FileResponse: one that compresses sends the end of an empty deflate stream after a 304 and a
        HEAD.
        """
        packed = self._packed if _takes_gzip(request.headers.get("Accept-Encoding", "")) else None
        response = web.Response(headers={**self._headers, "Cache-Control": cache})
        response.etag = self._tag if packed is None else self._tag + GZIP
        if any(known.value in (self._tag, self._tag + GZIP, "*") for known in request.if_none_match or ()):
            response.set_status(304)
            return response
        response.content_type = self._type
        if self._is_text:
            response.charset = "utf-8"
        if packed is not None:
            response.headers["Content-Encoding"] = "gzip"
        response.body = self.body if packed is None else packed
        return response


def _takes_gzip(accepted: str) -> bool:
    """Whether the client named gzip, or everything, and not with weight 0. Source: RFC 9110 §12.5.3."""
    weights = {}
    for part in accepted.lower().split(","):
        coding, _, parameter = part.partition(";")
        weights[coding.strip()] = parameter.replace(" ", "")
    weight = weights.get("gzip", weights.get("*"))
    return weight is not None and weight not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
