"""Which worker an event means: it is named by a `worker_info`, a `worker_status`, or by both."""

from __future__ import annotations

from typing import Final

from translation_events.event import WorkerInfo

SSH_PORT: Final = 22


class WorkerNames:
    """Names and addresses of the known workers, the configured ones first.

    A translator tells its workers' states by name and their work by name and address; either may come first.
    A worker's name is learned with its address, so that both are one worker. Of each worker one learned name
    and one address are kept: producers could otherwise fill the memory.
    """

    def __init__(self) -> None:
        self._configured_names: dict[str, str] = {}
        self._configured_addresses: dict[tuple[str, int], str] = {}
        self._names: dict[str, str] = {}
        self._addresses: dict[tuple[str, int], str] = {}
        self._learned: dict[str, tuple[str | None, tuple[str, int] | None]] = {}

    def __len__(self) -> int:
        """How many workers something has been learned of."""
        return len(self._learned)

    def configure(self, worker_id: str, name: str | None, host: str, port: int) -> None:
        """A worker of the configuration."""
        self._configured_names[worker_id] = worker_id
        self._configured_addresses[host, port] = worker_id
        if name:
            self._configured_names[name] = worker_id

    def learn(self, worker_id: str, name: str | None, host: str | None, port: int | None) -> bool:
        """What events say of a worker; True if its name is news and no other machine's."""
        before_name, address = self._learned.get(worker_id, (None, None))
        if host is not None and address != (host, port or SSH_PORT):
            if address is not None and self._addresses.get(address) == worker_id:
                del self._addresses[address]
            address = (host, port or SSH_PORT)
            self._addresses.setdefault(address, worker_id)
        is_news = name is not None and name != before_name and self._is_free(name, worker_id, address)
        if name is not None and is_news:
            if before_name is not None and self._names.get(before_name) == worker_id:
                del self._names[before_name]
            self._names[name] = worker_id
        self._learned[worker_id] = (name if is_news else before_name, address)
        return is_news

    def forget(self, worker_id: str) -> None:
        """The worker is no longer known."""
        name, address = self._learned.pop(worker_id, (None, None))
        if name is not None and self._names.get(name) == worker_id:
            del self._names[name]
        if address is not None and self._addresses.get(address) == worker_id:
            del self._addresses[address]

    def of_status(self, name: str) -> str:
        """The worker that a `worker_status` means."""
        return self._configured_names.get(name) or self._names.get(name, name)

    def of_info(self, info: WorkerInfo) -> str | None:
        """The worker that a `worker_info` means. Source: docs/protocol.md, "Shapes"."""
        name = info.name or None
        if name and (known := self._configured_names.get(name)):
            return known
        if info.host is None:
            return name and self._names.get(name, name)
        address = (info.host, info.port or SSH_PORT)
        if known := self._configured_addresses.get(address) or self._addresses.get(address):
            return known
        if name and (known := self._names.get(name)) and self._has_no_other_address(known, address):
            return known
        return f"{address[0]}:{address[1]}"

    def _is_free(self, name: str, worker_id: str, address: tuple[str, int] | None) -> bool:
        """Nobody bears the name, or one of whom nothing but the name is known."""
        bearer = self._names.get(name, worker_id)
        if name in self._configured_names:
            return False
        return bearer == worker_id or (address is not None and self._learned[bearer][1] is None)

    def _has_no_other_address(self, worker_id: str, address: tuple[str, int]) -> bool:
        """Two machines may bear one name: then each is its own worker."""
        known = self._learned.get(worker_id, (None, None))[1]
        return known is None or known == address
