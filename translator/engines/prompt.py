"""What a model is asked, and what its answer may be."""

from __future__ import annotations

import re
from typing import Final

from translator.engines.languages import Language
from translator.segments import Segment

_MARKS_RULE: Final = (
    " Signs like ⟦1⟧ stand for formatting: copy each one exactly once, in the same order, where it belongs."
)
_QUOTES: Final = (('"', '"'), ("“", "”"), ("«", "»"), ("`", "`"))
_FENCE: Final = re.compile(r"\A```\w*\n(.*?)\n?```\Z", re.DOTALL)
_THOUGHT: Final = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)
_REFUSAL: Final = re.compile(
    r"(?:I['’]m sorry|I am sorry|Sorry|I apologi[sz]e|As an AI|I (?:can(?:['’]t|not)|am unable to|won['’]t)\b"
    r"|I['’]m (?:unable|not able) to|Извините|Простите|К сожалению, я не|Lo siento)",
    re.IGNORECASE,
)
_REFUSED_THING: Final = re.compile(
    r"translat|assist|help|request|content|language model|перев|помочь|запрос|traduc|ayudar", re.IGNORECASE
)
MIN_ECHO_WORDS: Final = 4  # names and titles may well be the same in both languages


def messages(segment: Segment, source: Language, target: Language) -> list[dict[str, str]]:
    """The chat that asks for one segment; the sentence before it is context only."""
    system = (
        f"You are a translator. Translate the user's text from {source.name} to {target.name}. "
        "Answer with the translation alone: no quotes around it, no notes, no explanation. "
        "Keep numbers, names and punctuation."
    )
    if segment.marks:
        system += _MARKS_RULE
    if segment.context:
        context = re.sub(r"⟦\d+⟧", "", segment.context)
        system += f"\n\nThe sentence before it, for context only, not to be translated:\n{context}"
    return [{"role": "system", "content": system}, {"role": "user", "content": segment.text}]


def cleaned(answer: str, segment: Segment) -> str:
    """The answer without the wrapping models like to add: thoughts, a code fence, quotes around it all."""
    text = _THOUGHT.sub("", answer).strip()
    if fence := _FENCE.match(text):
        text = fence[1].strip()
    for left, right in _QUOTES:
        wrapped = len(text) > 2 and text[0] == left and text[-1] == right
        if wrapped and segment.text[0] not in "\"“«`„'" and left not in text[1:-1]:
            text = text[1:-1].strip()
    return text


def is_refusal(text: str, segment: Segment) -> bool:
    """True where the model speaks of itself, not for the text; only well-known openings are looked for."""
    opening = _REFUSAL.match(text)
    if opening is None or not _REFUSED_THING.search(text):
        return False
    return not re.search(r"sorry|apolog|cannot|can['’]t|unable|извин|прост|жал|siento", segment.text, re.I)


def is_echo(text: str, segment: Segment) -> bool:
    """True where the answer is the source again, and long enough for that to be no accident."""
    words = re.findall(r"[^\W\d_]+", segment.text)
    lower = [word for word in words if word.islower()]
    return len(lower) >= MIN_ECHO_WORDS and text.casefold() == segment.text.casefold()
