"""`workers put` and `workers get`: a file to workers, such as a model or a script, or one from a worker."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.filesize import decimal

from cli.display import duration, printable
from cli.transfer_view import TransferView
from sshworker.connection import Connection
from sshworker.errors import WorkerError
from sshworker.files import Progress, Transfer, download, upload
from sshworker.spec import WorkerSpec
from translation_events.errors import ConfigError, MonitorError

ALL: Final = "all"
AT_ONCE: Final = 4  # transfers side by side: more only share the same line

_Send = Callable[[Connection, Progress], Awaitable[Transfer]]


def configure(actions: Any) -> Sequence[argparse.ArgumentParser]:
    """Declare both subcommands; returns their parsers."""
    into = actions.add_parser(
        "put",
        help="copy a file to workers",
        description="Copies a file to workers over SFTP. It is in place once its checksum is right there. "
        "Its permissions go along, and what stood there is replaced.",
    )
    into.add_argument("id", metavar="ID", help=f"the worker, several with commas between, or {ALL}")
    into.add_argument("file", type=Path, metavar="FILE", help="the file here")
    into.add_argument(
        "to", nargs="?", metavar="TO",
        help="file or folder there, absolute or seen from the account's home (default: the home)",
    )  # fmt: skip
    into.set_defaults(action=put)
    out = actions.add_parser(
        "get",
        help="fetch a file from a worker",
        description="Fetches a file from a worker over SFTP. It is in place once its checksum is that of the "
        "worker's.",
    )
    out.add_argument("id", metavar="ID")
    out.add_argument(
        "remote", metavar="FROM", help="the file there, absolute or seen from the account's home"
    )
    out.add_argument(
        "file", nargs="?", type=Path, default=Path(), metavar="FILE", help="file or folder here (default: .)"
    )
    out.set_defaults(action=get)
    return into, out


async def put(specs: Sequence[WorkerSpec], args: argparse.Namespace) -> int:
    """Send to each of the workers. Raises: ConfigError: no such worker, or no such file here."""
    if not args.file.is_file():
        what = "is a folder; name a file" if args.file.is_dir() else "is not there"
        raise ConfigError(f"{args.file} {what}.")
    remote = args.to or args.file.name

    async def send(connection: Connection, progress: Progress) -> Transfer:
        return await upload(connection, args.file, remote, progress=progress)

    return await _transfer(_several(specs, args.id), send)


async def get(specs: Sequence[WorkerSpec], args: argparse.Namespace) -> int:
    """Fetch from the worker. Raises: ConfigError: no such worker, or no file named."""
    spec = named(specs, args.id)
    name = args.remote.rpartition("/")[2]
    if not name:
        raise ConfigError(f"{args.remote} is a folder; name a file in it.")
    local = args.file / name if args.file.is_dir() else args.file
    if not local.parent.is_dir():
        raise ConfigError(f"There is no folder {local.parent} here; make it first.")

    async def fetch(connection: Connection, progress: Progress) -> Transfer:
        return await download(connection, args.remote, local, progress=progress)

    return await _transfer([spec], fetch)


def named(specs: Sequence[WorkerSpec], worker_id: str) -> WorkerSpec:
    """The enabled worker of that id. Raises: ConfigError, naming those there are."""
    for spec in specs:
        if spec.id == worker_id:
            return spec
    known = ", ".join(spec.id for spec in specs) or "none"
    raise ConfigError(f"There is no enabled worker {worker_id!r}; configured are: {known}.")


def _local(errors: ExceptionGroup[OSError]) -> MonitorError:
    """A file of this machine cannot be read or written: which, and why."""
    first: Exception = errors
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    name = getattr(first, "filename", None)
    reason = getattr(first, "strerror", None) or str(first)
    return MonitorError("local_file", f"{name or 'The file here'}: {reason}.")


def _several(specs: Sequence[WorkerSpec], ids: str) -> Sequence[WorkerSpec]:
    if any(spec.id == ids for spec in specs):
        return [named(specs, ids)]
    if ids == ALL and specs:
        return specs
    wanted = dict.fromkeys(part.strip() for part in ids.split(","))
    return [named(specs, worker_id) for worker_id in wanted]


async def _transfer(specs: Sequence[WorkerSpec], send: _Send) -> int:
    """Do it with each worker, say how it went; 1 where one failed."""
    places = asyncio.Semaphore(AT_ONCE)
    with TransferView(Console(stderr=True, soft_wrap=True)) as view:

        async def one(spec: WorkerSpec) -> bool:
            async with places:
                try:
                    async with Connection(spec) as connection:
                        done = await send(connection, partial(view.moved, spec.id))
                except WorkerError as error:
                    end = "" if error.told.endswith(("?", ")")) else "."
                    print(f"translation-monitor: {spec.id}: {printable(error.told)}{end}", file=sys.stderr)
                    return False
                finally:
                    view.ended(spec.id)
            size, took = decimal(done.size_bytes), duration(done.duration_s)
            print(f"{spec.id}  {printable(done.path)}  {size} in {took}  sha256 {done.sha256}")
            return True

        try:
            async with asyncio.TaskGroup() as tasks:
                runs = [tasks.create_task(one(spec), name=f"transfer {spec.id}") for spec in specs]
        except* OSError as errors:
            raise _local(errors) from errors
    return 0 if all(run.result() for run in runs) else 1
