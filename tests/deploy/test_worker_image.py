"""The image of the SSH workers, with the monitor's beside it: keys made at the first start, a real probe."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.container_engine import CONTAINED, ROOT, Container, ContainerEngine, container_engine, volume
from tests.parts import need
from tests.sshd import answers

CONFIG = "/etc/translation-monitor/config.json"
KEYS = "/etc/translation-monitor/keys"
PORT = 2222  # as in deploy/compose/config.json
# What a translator asks of a worker, run where the monitor's configuration and key are.
TRANSLATE = """
import asyncio, os
from service.config import load_config
from service.worker_specs import specs_of
from sshworker.command import run
from sshworker.connection import Connection

async def main():
    spec = specs_of(load_config(environ=os.environ).distributed)[0]
    async with Connection(spec) as worker:
        words = {"source": "eng", "target": "spa"}
        done = await run(worker, spec.engine.command, b"The red house.\\n", timeout_s=30, values=words)
        print(done.stdout)
        await run(worker, "id", timeout_s=30, allowed={"id"})

asyncio.run(main())
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass
class Stack:
    """Both images, and the volumes and the network that they share."""

    engine: ContainerEngine
    monitor: str
    worker: str
    client: str
    host: str
    network: tuple[str, ...]

    def make_keys(self) -> None:
        """As the service `worker-keys` does."""
        self.engine(
            *("run", "--rm", *CONTAINED, "--network=none"),
            *(f"--volume={self.client}:/keys/client", f"--volume={self.host}:/keys/worker-1"),
            *(self.worker, "/usr/local/bin/make-keys.sh", "/keys", "worker-1"),
        )

    def ask(self, *command: str, entrypoint: str = "translation-monitor") -> str:
        """Run a program of the monitor's image with the configuration of the compose file."""
        address = ("--add-host=worker-1:127.0.0.1",) if "--network=host" in self.network else ()
        return self.engine(
            *("run", "--rm", *CONTAINED, *self.network, *address, "--tmpfs=/tmp:size=16m"),
            *(f"--env=MONITOR_CONFIG={CONFIG}", "--env=MONITOR_INSECURE=true"),
            *(
                f"--volume={ROOT / 'deploy/compose/config.json'}:{CONFIG}:ro",
                f"--volume={self.client}:{KEYS}:ro",
            ),
            *(f"--entrypoint={entrypoint}", self.monitor, *command),
        )


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Images built, volumes empty; a network of its own where the engine has some."""
    engine = container_engine()
    images = {"monitor": ROOT / "Dockerfile", "worker": ROOT / "deploy/worker/Dockerfile"}
    bases = {name: engine.base(dockerfile) for name, dockerfile in images.items()}
    with ExitStack() as ending:
        for name, dockerfile in images.items():
            tag = f"translation-monitor-test-{name}"
            engine.build(dockerfile, tag, **bases[name])
            ending.callback(engine, "image", "rm", "--force", tag)
        network = engine.network
        if network:
            need(not answers(PORT), f"port {PORT} is taken, and this engine has the host's network only")
        else:
            name = f"tm-test-{uuid.uuid4().hex[:12]}"
            engine("network", "create", "--internal", name)
            ending.callback(engine, "network", "rm", name)
            network = (f"--network={name}",)
        client, host = ending.enter_context(volume(engine)), ending.enter_context(volume(engine))
        monitor, worker = (f"translation-monitor-test-{name}" for name in images)
        yield Stack(engine, monitor, worker, client, host, network)


def test_the_monitor_knows_its_workers_and_they_know_it(stack: Stack) -> None:
    """Keys are made once, the host is pinned, a text is translated, another program is refused."""
    # First seen by the monitor, as when the profile comes later: the empty volume must not be root's then.
    stack.ask(KEYS, entrypoint="ls")
    stack.make_keys()
    before = stack.ask(f"{KEYS}/known_hosts", f"{KEYS}/id_ed25519.pub", entrypoint="cat")
    stack.make_keys()
    assert stack.ask(f"{KEYS}/known_hosts", f"{KEYS}/id_ed25519.pub", entrypoint="cat") == before

    alias = () if "--network=host" in stack.network else ("--network-alias=worker-1",)
    flags = ["--init", *stack.network, *alias, "--tmpfs=/tmp:uid=10001,gid=10001,mode=0700,size=64m"]
    flags.append(f"--volume={stack.host}:/etc/translation-worker:ro")
    worker = Container(stack.engine, stack.worker, flags)
    try:
        worker.start()
        worker.until_healthy()
        # The key may run Apertium alone, and is told of its host all the same; a busy host may be degraded.
        (checked,) = json.loads(stack.ask("workers", "check", "worker-1", "--json"))
        assert checked["outcome"] == "success"
        assert checked["state"] == "up" or "load" in checked["reason"]
        assert checked["load_ratio"] is not None
        assert checked["memory_total_bytes"] is not None
        with pytest.raises(AssertionError, match="may not run id") as refused:
            stack.ask("-c", TRANSLATE, entrypoint="python3")
        assert "casa roja" in str(refused.value)
        assert worker.stop() in (0, 143), worker.log()  # 143: tini tells that SIGTERM ended sshd
    finally:
        worker.remove()
