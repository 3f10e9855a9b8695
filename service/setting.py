"""A setting: how one field of the configuration is named outside, read, checked and explained.

Each field of a configuration struct carries a `Setting`, so name, environment variable, flag, range, default
and help stand in one place and docs/configuration.md is made from them.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from service.secret import HIDDEN, Secret
from translation_events.errors import ConfigError

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
# An address may itself hold a comma, so one begins only where its scheme does.
_BETWEEN_ADDRESSES: Final = re.compile(r"(?:\s*,\s*|\s+)(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})
_SHOWN_CHARACTERS: Final = 80  # of a wrong value: enough to recognise it, too little to flood a terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the type of a field cannot say.

    `key` is the name in the file where it is not the field's; `is_duration` takes "24h" beside seconds;
    `check` says whether a value of the right type is allowed, `allowed` then describes what is;
    `in_force=False` marks a name taken from earlier files that nothing reads yet.
    """

    help: str
    env: str | None = None
    flag: str | None = None
    key: str | None = None
    is_duration: bool = False
    is_secret: bool = False
    in_force: bool = True
    normalise: Callable[[Any], Any] | None = None
    check: Callable[[Any], bool] | None = None
    allowed: str | None = None


@dataclass(frozen=True, slots=True)
class KnownSetting:
    """A `Setting` at its place; `default` is `msgspec.NODEFAULT` where a value must be given."""

    section: str
    field: str
    type: Any
    default: Any
    setting: Setting

    @property
    def key(self) -> str:
        """Its name inside the section of a file."""
        return self.setting.key or self.field

    @property
    def path(self) -> str:
        """Its name in messages and on the command line: `section.key`."""
        return f"{self.section}.{self.key}"

    @property
    def allowed(self) -> str:
        """What may stand here, in words."""
        return self.setting.allowed or _describe(self.type, self.setting)


@cache
def settings_of(struct: type[msgspec.Struct], section: str) -> Sequence[KnownSetting]:
    """The settings a configuration struct declares, in its order; a field without `Setting` is none."""
    hints = get_type_hints(struct, include_extras=True)
    found = []
    for field in msgspec.structs.fields(struct):
        setting = next((part for part in get_args(hints[field.name]) if isinstance(part, Setting)), None)
        if setting is not None:
            default = field.default
            if field.default_factory is not msgspec.NODEFAULT:
                default = field.default_factory()
            found.append(KnownSetting(section, field.name, hints[field.name], default, setting))
    return tuple(found)


def read_value(known: KnownSetting, value: Any, *, where: str, is_text: bool) -> Any:
    """Check and convert one value; `is_text` for values from environment variables and the command line.

    Raises: ConfigError saying where, what was found and what is allowed.
    """
    setting = known.setting
    try:
        if setting.is_secret:
            return _read_secret(known, value)
        if setting.is_duration:
            value = duration_s(value)
        elif is_text and isinstance(value, str):
            value = _from_text(known.type, value)
        if setting.normalise is not None:
            value = setting.normalise(value)
        converted = msgspec.convert(value, known.type)
        if isinstance(converted, float) and not math.isfinite(converted):
            raise ValueError
        if setting.check is not None and not setting.check(converted):
            raise ValueError
    except (ValueError, OverflowError) as err:  # msgspec.ValidationError is a ValueError
        shown = HIDDEN if setting.is_secret else _shorten(value)
        raise ConfigError(f"{where} is {shown}; allowed: {known.allowed}.") from err
    return converted


def _read_secret(known: KnownSetting, value: Any) -> Secret | tuple[Secret, ...]:
    """A secret, or all of a list of addresses. Raises: ValueError."""
    is_list = get_origin(_bare(known.type)) is tuple
    if is_list and not isinstance(value, str):
        texts = msgspec.convert(value, list[str])
    else:
        texts = _BETWEEN_ADDRESSES.split(value.strip()) if is_list else [msgspec.convert(value, str)]
    check = known.setting.check
    if check is not None and not all(map(check, texts)):
        raise ValueError
    secrets = tuple(map(Secret, texts))
    return secrets if is_list else secrets[0]


def duration_s(value: Any) -> float:
    """Seconds of a number or of a text like "300", "24h", "1h30m". Raises: ValueError, OverflowError."""
    if isinstance(value, str):
        text = value.strip().lower().replace(" ", "")
        if not _DURATION.sub("", text) and text:
            return sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION.findall(text))
        return float(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(type(value).__name__)  # noqa: TRY004 - one error for whatever cannot be a duration
    return float(value)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name somebody who typed `name` most likely meant, if there is one."""
    by_plain = {candidate.lower().replace("-", "_"): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), by_plain, n=1, cutoff=0.6)
    return by_plain[close[0]] if close else None


def _shorten(value: Any) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _bare(kind: Any) -> Any:
    """The type without annotations and without `| None`."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return _bare(next(part for part in get_args(kind) if part is not NoneType))
    return kind


def _from_text(kind: Any, text: str) -> Any:
    bare = _bare(kind)
    if bare is bool:
        word = text.strip().lower()
        if word not in _TRUE | _FALSE:
            raise ValueError(word)
        return word in _TRUE
    if bare is int:
        return int(text)
    if bare is float:
        return float(text)
    if get_origin(bare) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _describe(kind: Any, setting: Setting) -> str:
    bare = _bare(kind)
    if setting.is_duration:
        return 'more than 0 seconds, as a number or as text like "90s", "24h" or "7d"'
    if get_origin(bare) is Literal:
        return "one of " + ", ".join(get_args(bare))
    if bare is bool:
        return "true or false"
    if bare in (int, float):
        return _describe_range("a whole number" if bare is int else "a number", kind)
    if get_origin(bare) is tuple:
        return "a list of texts (in an environment variable: separated by commas)"
    if bare is str or setting.is_secret:
        return "a text"
    return "an object"


def _describe_range(noun: str, kind: Any) -> str:
    limits = _limits(kind)
    if limits is None:
        return noun
    if limits.ge is not None and limits.le is not None:
        return f"{noun} from {limits.ge} to {limits.le}"
    if limits.gt is not None:
        return f"{noun} above {limits.gt}"
    return f"{noun} of at least {limits.ge}" if limits.ge is not None else noun


def _limits(kind: Any) -> msgspec.Meta | None:
    for part in get_args(kind):
        if isinstance(part, msgspec.Meta):
            return part
        if (limits := _limits(part)) is not None:
            return limits
    return None
