"""What hosts tell: Linux, macOS, NVIDIA's and AMD's tools, each as it really prints."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sshworker.connection import Connection
from sshworker.gpus import read_nvidia, read_rocm
from sshworker.host_health import Presence, host_health, read_health
from sshworker.probe_result import Gpu
from tests.sshd import Sshd

StartSshd = Callable[..., Sshd]

MIB = 2.0**20
VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               20000.
Pages active:                            400000.
Pages inactive:                          300000.
Pages speculative:                         5000.
Pages throttled:                              0.
Pages wired down:                        200000.
"Translation faults":                 123456789.
"""
# Without the driver's power control rocm-smi warns on standard output, before its JSON.
ROCM = """WARNING: AMD GPU device(s) is/are in a low-power state. Check power control/runtime_status

{"card0": {"GPU use (%)": "37", "VRAM Total Memory (B)": "17163091968",
  "VRAM Total Used Memory (B)": "4294967296"},
 "card1": {"GPU use (%)": "N/A", "VRAM Total Memory (B)": "17163091968", "VRAM Total Used Memory (B)": "10"},
 "system": {"Driver version": "6.7.0"}}
"""
TOOLS = {
    "sysctl": """case "$2" in
vm.loadavg) echo '{ 3.00 1.58 1.59 }' ;;
hw.memsize) echo 17179869184 ;;
*) exit 1 ;;
esac""",
    "vm_stat": f"cat <<'END'\n{VM_STAT}END",
    "getconf": "echo 8",
    "nvidia-smi": "echo '0, 55, 1024, 24576'; echo '1, [N/A], 2048, [N/A]'",
    "rocm-smi": f"cat <<'END'\n{ROCM}END",
}


@pytest.fixture
def mac(start_sshd: StartSshd) -> Sshd:
    """A worker whose tools are those of macOS and of both makers of GPUs."""
    sshd = start_sshd()
    folder = sshd.account.folder / f"mac-{sshd.port}"
    folder.mkdir()
    for name, script in TOOLS.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    sshd.cut()
    sshd.lines = (f"SetEnv PATH={folder}:/usr/bin:/bin",)
    sshd.start()
    return sshd


async def test_a_mac_and_its_gpus_are_read(mac: Sshd) -> None:
    """Load by sysctl, memory by vm_stat, GPUs of two makers under numbers of their own."""
    async with Connection(mac.spec()) as connection:
        health = await host_health(connection, program="cat")
    assert (health.load_ratio, health.program) == (3 / 8, Presence.FOUND)
    assert health.memory_total_bytes == 2.0**34
    assert health.memory_used_bytes == 2.0**34 - 325_000 * 16_384
    assert health.gpus == (
        Gpu(0, 0.55, 1024 * MIB, 24576 * MIB),
        Gpu(1, None, 2048 * MIB, None),
        Gpu(2, 0.37, 4294967296.0, 17163091968.0),
        Gpu(3, None, 10.0, 17163091968.0),
    )
    assert health.gpu_trouble is None


async def test_this_host_is_read_as_it_is(start_sshd: StartSshd) -> None:
    """Linux: load, memory, and a program that is not there."""
    async with Connection(start_sshd().spec()) as connection:
        health = await host_health(connection, program="no-such-program")
        bare = await host_health(connection)
    assert health.program is Presence.MISSING
    assert health.load_ratio is not None
    assert health.memory_total_bytes is not None
    assert health.memory_used_bytes is not None
    assert 0 < health.memory_used_bytes < health.memory_total_bytes
    assert bare.load_ratio is not None


def test_one_figure_that_is_not_known_takes_no_gpu_from_sight() -> None:
    """`[N/A]`, `[Not Supported]` and the like are that figure's alone."""
    text = "0, [N/A], [Not Supported], 81920\nnonsense\n1, 5, [Unknown Error], [N/A]"
    assert read_nvidia(text) == [Gpu(0, None, None, 81920 * MIB), Gpu(1, 0.05, None, None)]


def test_what_rocm_smi_says_amiss_is_passed_over() -> None:
    """No JSON, another shape, a card without figures."""
    assert read_rocm("ERROR: no devices") == []
    assert read_rocm("{") == []
    assert read_rocm('{"cards": 1, "card7": {}, "card8": []}') == [Gpu(7)]


def test_lines_that_make_no_sense_are_passed_over() -> None:
    """Whatever a host prints, the rest is read."""
    lines = [
        "motd",
        "%program what",
        "%cpus",
        "3",
        "%end 0",
        "%load",
        "1.5 x",
        "%end 0",
        "%meminfo",
        "MemTotal:",
    ]
    health = read_health([*lines, "%end x", "%all"])
    assert (health.load_ratio, health.memory_total_bytes, health.program) == (0.5, None, None)
    assert read_health([]).load_ratio is None
