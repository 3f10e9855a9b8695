"""Language codes: two letters for people, three letters where a program wants them, a name for a model."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from translation_events.errors import ConfigError


class Language(NamedTuple):
    """ISO 639-1 `code` (or the code as given), ISO 639-3 `code3`, English `name`."""

    code: str
    code3: str
    name: str


_KNOWN: Final = tuple(
    Language(*row.split(" ", 2))
    for row in (
        "af afr Afrikaans",
        "an arg Aragonese",
        "ar ara Arabic",
        "ast ast Asturian",
        "be bel Belarusian",
        "bg bul Bulgarian",
        "bn ben Bengali",
        "br bre Breton",
        "bs bos Bosnian",
        "ca cat Catalan",
        "cs ces Czech",
        "cy cym Welsh",
        "da dan Danish",
        "de deu German",
        "el ell Greek",
        "en eng English",
        "eo epo Esperanto",
        "es spa Spanish",
        "et est Estonian",
        "eu eus Basque",
        "fa fas Persian",
        "fi fin Finnish",
        "fr fra French",
        "ga gle Irish",
        "gl glg Galician",
        "he heb Hebrew",
        "hi hin Hindi",
        "hr hrv Croatian",
        "hu hun Hungarian",
        "hy hye Armenian",
        "id ind Indonesian",
        "is isl Icelandic",
        "it ita Italian",
        "ja jpn Japanese",
        "ka kat Georgian",
        "kk kaz Kazakh",
        "ko kor Korean",
        "la lat Latin",
        "lt lit Lithuanian",
        "lv lav Latvian",
        "mk mkd Macedonian",
        "ms msa Malay",
        "mt mlt Maltese",
        "nb nob Norwegian Bokmål",
        "nl nld Dutch",
        "nn nno Norwegian Nynorsk",
        "oc oci Occitan",
        "pl pol Polish",
        "pt por Portuguese",
        "ro ron Romanian",
        "ru rus Russian",
        "sc srd Sardinian",
        "sh hbs Serbo-Croatian",
        "sk slk Slovak",
        "sl slv Slovenian",
        "sq sqi Albanian",
        "sr srp Serbian",
        "sv swe Swedish",
        "sw swa Swahili",
        "ta tam Tamil",
        "te tel Telugu",
        "th tha Thai",
        "tr tur Turkish",
        "tt tat Tatar",
        "uk ukr Ukrainian",
        "ur urd Urdu",
        "uz uzb Uzbek",
        "vi vie Vietnamese",
        "zh zho Chinese",
    )
)
_BY_CODE: Final = {code: language for language in _KNOWN for code in (language.code, language.code3)}
_SHAPE: Final = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*\Z")


def language(code: str) -> Language:
    """The language of an ISO 639 code or a tag that begins with one (`pt-BR`). Raises: ConfigError."""
    lowered = code.strip().lower()
    if not _SHAPE.match(lowered):
        raise ConfigError(f"{code!r} is not a language code; give one like en, es, ru or pt-BR")
    primary = re.split("[-_]", lowered)[0]
    found = _BY_CODE.get(primary)
    if found is None:
        return Language(lowered, primary, code)
    if lowered in (found.code, found.code3):
        return found
    return Language(lowered, found.code3, f"{found.name} ({code})")
