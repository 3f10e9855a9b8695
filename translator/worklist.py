"""What is to be translated, in document order, and what is already, by this run or an earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from translator.documents import Document, restore
from translator.progress import Progress
from translator.progress_record import Finished
from translator.segments import LostMarks, Segment


@dataclass(frozen=True, slots=True)
class Item:
    """A segment on its way: `number` counts over all files from 1, `file` is the job's place."""

    number: int
    file: int
    segment: Segment


class Worklist:
    """The segments of all documents: `left` to translate, `resumed` from the earlier run of `progress`."""

    def __init__(self, documents: Sequence[Document], progress: Progress | None) -> None:
        self._restored: list[dict[str, str]] = [{} for _ in documents]
        self.total = 0
        self.left: list[Item] = []
        self.resumed: list[Finished] = []
        for file, document in enumerate(documents):
            finished = progress.finished(file) if progress is not None else {}
            for segment in document.segments:
                self.total += 1
                item = Item(self.total, file, segment)
                if not self._take(item, finished.get(segment.id)):
                    self.left.append(item)

    def put(self, item: Item, translation: str) -> None:
        """The item's translation into its place. Raises: LostMarks."""
        self._restored[item.file][item.segment.id] = restore(item.segment, translation)

    def restored(self, file: int) -> Mapping[str, str]:
        """What is translated of the n-th document, by segment id, as it stands in the file."""
        return self._restored[file]

    def _take(self, item: Item, entry: Finished | None) -> bool:
        if entry is None or not entry.is_of(item.segment):
            return False
        try:
            self.put(item, entry.text)
        except LostMarks:  # another version of ours had other rules, or someone edited the record
            return False
        self.resumed.append(entry)
        return True
