"""One address for a monitor's HTTP, its WebSocket and its spool."""

from __future__ import annotations

import pytest

from translation_events.address import MonitorAddress
from translation_events.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("http://127.0.0.1:8090", "http://127.0.0.1:8090"),
        ("ws://localhost:8090/ws?session_id=x&client_id=y", "http://localhost:8090"),
        ("HTTPS://Monitor.Example/", "https://monitor.example:443"),
        ("wss://monitor.example/live/ws", "https://monitor.example:443/live"),
        ("http://[::1]:9000", "http://[::1]:9000"),
        ("http://monitor", "http://monitor:80"),
    ],
)
def test_http_and_websocket_addresses_are_the_same_monitor(written: str, url: str) -> None:
    """http, https, ws and wss are accepted; where one comes from does not change the spool."""
    address = MonitorAddress.parse(written)
    assert address.url == url
    assert MonitorAddress.parse(url).folder == address.folder


def test_the_websocket_address_carries_the_query() -> None:
    """`ws://HOST:8090/ws?…`, values escaped."""
    address = MonitorAddress.parse("https://monitor.example/live")
    assert (
        address.websocket({"client_id": "a&b", "ack": "1"})
        == "wss://monitor.example:443/live/ws?client_id=a%26b&ack=1"
    )


def test_each_monitor_has_its_own_folder() -> None:
    """Named by a hash of the address plus the readable host; never a path of its own making."""
    written = [
        "http://a:1",
        "http://a:2",
        "https://a:1",
        "http://a:1/x",
        "http://[::1]:1",
        "http://..:1",
        "http://%2f:1",
    ]
    folders = [MonitorAddress.parse(url).folder for url in written]
    assert len(set(folders)) == len(written)
    assert folders[0].startswith("a_1-")
    assert all("/" not in folder and folder not in (".", "..") for folder in folders)


@pytest.mark.parametrize(
    "url", ["", "monitor:8090", "http://", "file:///x", "http://h:port", "http://h:99999", "//h"]
)
def test_anything_else_is_refused_with_what_is_allowed(url: str) -> None:
    """A wrong address says what was found and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        MonitorAddress.parse(url)
    assert repr(url) in caught.value.detail
    assert "http://127.0.0.1:8090" in caught.value.detail
