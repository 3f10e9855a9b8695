"""A real Prometheus on a free port, with what it is asked in tests."""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.otlp_receiver import free_port
from tests.parts import need

READY_WITHIN_S: Final = 20.0
STOP_WITHIN_S: Final = 20.0


class Prometheus:
    """Asks a running Prometheus; `url` is its address."""

    def __init__(self, url: str, client: aiohttp.ClientSession) -> None:
        self.url = url
        self._client = client

    async def instant(self, query: str) -> list[dict[str, Any]]:
        """The series of an instant query, those without a finite value left out."""
        found = await self._ask("query", {"query": query})
        series = found["result"] if found["resultType"] == "vector" else [{"value": found["result"]}]
        return [one for one in series if math.isfinite(float(one["value"][1]))]

    async def over_time(
        self, query: str, start: float, end: float, step_s: float = 1.0
    ) -> list[dict[str, Any]]:
        """The series of a range query from `start` to `end` (Unix seconds), with their finite values."""
        asked = {"query": query, "start": str(start), "end": str(end), "step": str(step_s)}
        found = []
        for series in (await self._ask("query_range", asked))["result"]:
            values = [(at, float(value)) for at, value in series["values"] if math.isfinite(float(value))]
            if values:
                found.append({"metric": series["metric"], "values": values})
        return found

    async def exemplars(self, query: str, start: float, end: float) -> list[dict[str, Any]]:
        """The exemplars of the series in a query."""
        asked = {"query": query, "start": str(start), "end": str(end)}
        return [one for series in await self._ask("query_exemplars", asked) for one in series["exemplars"]]

    async def _ask(self, what: str, asked: Mapping[str, str]) -> Any:
        async with self._client.post(f"{self.url}/api/v1/{what}", data=asked) as answer:
            body = await answer.json()
        assert body["status"] == "success", f"{asked['query']}\n{body}"
        return body["data"]


@asynccontextmanager
async def prometheus_process(folder: Path, config: str) -> AsyncIterator[Prometheus]:
    """Prometheus with exemplar storage, its data in `folder`, `config` its configuration file's text.

    `ITSELF` in the configuration stands for its own address.
    """
    need(shutil.which("prometheus") is not None, "prometheus is not installed")
    url = f"http://127.0.0.1:{free_port()}"
    config = config.replace("ITSELF", url.removeprefix("http://"))
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address={url.removeprefix('http://')}",
            "--enable-feature=exemplar-storage",
            stdout=log,
            stderr=log,
        )
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as client:
                async with asyncio.timeout(READY_WITHIN_S):
                    while not await _ready(client, url):
                        assert process.returncode is None, (folder / "prometheus.log").read_text()
                        await asyncio.sleep(0.05)
                yield Prometheus(url, client)
        finally:
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(STOP_WITHIN_S):
                await process.wait()


async def _ready(client: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with client.get(f"{url}/-/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False
