"""Where configuration comes from: command line, environment, file, default, in that order."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from service.setting import KnownSetting, nearest, read_value, settings_of
from translation_events.errors import ConfigError

MAX_FILE_BYTES: Final = 4 * 1024 * 1024  # a configuration is small; a wrong path may name anything
MAX_SECRET_BYTES: Final = 64 * 1024
# Known although no settings: the image sets MONITOR_REVISION, commands and the publisher read the others.
_OTHER_VARIABLES: Final = frozenset(
    {"MONITOR_CONFIG", "MONITOR_REVISION", "MONITOR_SPOOL_DIR", "MONITOR_URL"}
)

S = TypeVar("S", bound=msgspec.Struct)


class Sources:
    """The three places at hand while a configuration is read; collects what is worth a warning."""

    def __init__(
        self, *, environ: Mapping[str, str], overrides: Mapping[str, Any], content: Mapping[str, Any]
    ) -> None:
        self.environ = environ
        self._overrides = {path: value for path, value in overrides.items() if value is not None}
        self._content = content
        self._warnings: list[str] = []
        self._without_effect: list[str] = []

    def read(self, struct: type[S], section: str, *, defaults: Mapping[str, Any] | None = None) -> S:
        """Read one section. Raises: ConfigError."""
        settings = settings_of(struct, section)
        given = self.section(section, known=[known.key for known in settings])
        return self.build(struct, section, given, defaults=defaults)

    def section(self, name: str, *, known: Collection[str]) -> Mapping[str, Any]:
        """The file's section, its keys checked. Raises: ConfigError naming the nearest known key."""
        return checked_keys(self._content.get(name, {}), name, known)

    def build(
        self,
        struct: type[S],
        section: str,
        given: Mapping[str, Any],
        *,
        defaults: Mapping[str, Any] | None = None,
        in_environ: bool = True,
    ) -> S:
        """Make `struct` of `given` (from the file) and what the other sources say. Raises: ConfigError."""
        values = dict(defaults or {})
        for known in settings_of(struct, section):
            found = self._find(known, given, in_environ=in_environ)
            if found is not None:
                value, where, is_text = found
                values[known.field] = read_value(known, value, where=where, is_text=is_text)
                if not known.setting.in_force:
                    self._without_effect.append(known.path)
            elif known.default is msgspec.NODEFAULT and known.field not in values:
                raise ConfigError(f"{known.path} is missing; allowed: {known.allowed}.")
        return struct(**values)

    def without_effect(self, path: str) -> None:
        """Note a setting that was given and that nothing reads yet."""
        self._without_effect.append(path)

    def warn(self, sentence: str) -> None:
        """Note something the start should say."""
        self._warnings.append(sentence)

    def all_warnings(self) -> Iterator[str]:
        """What the start should say; settings without effect share one sentence."""
        yield from self._warnings
        if self._without_effect:
            names = ", ".join(dict.fromkeys(self._without_effect))
            yield f"These settings are known but not in force yet, they change nothing: {names}."

    def _find(
        self, known: KnownSetting, given: Mapping[str, Any], *, in_environ: bool
    ) -> tuple[Any, str, bool] | None:
        if known.path in self._overrides:
            return self._overrides[known.path], known.setting.flag or known.path, True
        name = known.setting.env
        if name is not None and in_environ:
            text = secret_text(self.environ, name) if known.setting.is_secret else self.environ.get(name)
            # An empty variable is how shells and compose files say "not set".
            if text:
                return text, name, True
        if given.get(known.key) is not None:
            return given[known.key], known.path, False
        return None


def open_sources(
    sections: Mapping[str, type[msgspec.Struct]],
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, Any],
    file: Path | None,
) -> Sources:
    """Read the file (`MONITOR_CONFIG` unless given) and note unknown names. Raises: ConfigError."""
    if file is None and environ.get("MONITOR_CONFIG"):
        file = Path(environ["MONITOR_CONFIG"])
    content = read_file(file) if file is not None else {}
    sources = Sources(environ=environ, overrides=overrides, content=content)
    if ignored := [name for name in content if name not in sections]:
        sources.warn(f"{file} has sections that are not known here and are ignored: {', '.join(ignored)}.")
    all_settings = [known for name, struct in sections.items() for known in settings_of(struct, name)]
    if unknown := overrides.keys() - {known.path for known in all_settings}:
        raise ConfigError(f"{', '.join(sorted(unknown))}: no such setting.")
    variables = {known.setting.env for known in all_settings if known.setting.env} | _OTHER_VARIABLES
    for name in sorted(environ):
        if name.startswith("MONITOR_") and name.removesuffix("_FILE") not in variables:
            meant = nearest(name, variables)
            hint = f"; did you mean {meant}?" if meant else "."
            sources.warn(f"The environment variable {name} is not known and is ignored{hint}")
    return sources


def read_file(file: Path) -> Mapping[str, Any]:
    """The configuration file as an object of sections. Raises: ConfigError."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise ConfigError(f"{file} has over {MAX_FILE_BYTES} bytes, so it is not a configuration file.")
        content = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_unique)
    except OSError as err:
        raise ConfigError(f"The configuration file {file} cannot be read: {err.strerror}.") from err
    except json.JSONDecodeError as err:
        place = f"line {err.lineno}, column {err.colno}"
        raise ConfigError(f"{file} is not valid JSON: {err.msg} ({place}).") from err
    except (UnicodeDecodeError, RecursionError) as err:
        raise ConfigError(f"{file} is not valid JSON in UTF-8.") from err
    except _Repeated as err:
        raise ConfigError(f"{file} has the key {err.args[0]!r} twice in one object; keep one.") from err
    if not isinstance(content, dict):
        raise ConfigError(f"{file} must hold one JSON object of sections.")
    return content


def secret_text(environ: Mapping[str, str], name: str) -> str | None:
    """The secret `name`, or the content of the file that `name`_FILE names (its last line end dropped).

    Raises: ConfigError: both are set, or the file cannot be read.
    """
    path = environ.get(f"{name}_FILE")
    if not path:
        return environ.get(name)
    if environ.get(name):
        raise ConfigError(f"{name} and {name}_FILE are both set; keep one.")
    try:
        with Path(path).open(encoding="utf-8") as stream:
            return stream.read(MAX_SECRET_BYTES).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it is not UTF-8"
        raise ConfigError(f"{name}_FILE: {path} cannot be read: {reason}.") from err


def checked_keys(given: Any, path: str, known: Collection[str]) -> Mapping[str, Any]:
    """`given` if it is an object with known keys only. Raises: ConfigError naming the nearest known key."""
    if not isinstance(given, dict):
        raise ConfigError(f"{path} must be an object.")
    for key in given:
        if key not in known:
            meant = nearest(key, known)
            hint = f"did you mean {path}.{meant}?" if meant else f"known are {', '.join(known)}."
            raise ConfigError(f"{path}.{key} is not a known setting; {hint}")
    return given


class _Repeated(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # JSON lets the last one win silently, and a setting that is ignored is a defect.
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise _Repeated(key)
        content[key] = value
    return content
