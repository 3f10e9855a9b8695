"""A watch inside the monitor page: each long task, each frame, each event of its socket.

It is put in before the page's own scripts run. It costs a callback a frame and a search in each message.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

# A task of over 50 ms is long. Source: W3C Long Tasks.
SCRIPT = """
(() => {
  const seen = { began: performance.now(), tasks: [], frames: [], inputs: [], ours: [], events: 0 };
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) seen.tasks.push([task.startTime, task.duration]);
  }).observe({ type: "longtask", buffered: true });
  new PerformanceObserver((list) => {
    for (const input of list.getEntries()) if (input.interactionId) seen.inputs.push(input.duration);
  }).observe({ type: "event", durationThreshold: 16 });
  let before = null;
  const frame = (now) => {
    if (before !== null) seen.frames.push(now - before);
    before = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  window.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => { seen.events += data.split('"seq":').length - 1; });
    }
  };
  window.watch = {
    ours(since) { seen.ours.push([since, performance.now()]); },
    take() {
      const taken = { ...seen, ended: performance.now() };
      Object.assign(seen, { began: taken.ended, tasks: [], frames: [], inputs: [], ours: [] });
      before = null;
      return taken;
    },
  };
})();
"""


class Figures(NamedTuple):
    """What was seen between two readings; all in milliseconds but `events`, which counts from the first."""

    seconds: int
    seconds_with_long_task: int
    longest_task_ms: float
    frame_ms: Sequence[float]
    input_ms: Sequence[float]
    events: int

    @classmethod
    def read(cls, seen: Mapping[str, Any]) -> Self:
        """From what `watch.take()` returned."""
        began, ended = seen["began"], seen["ended"]
        held: set[int] = set()
        tasks = [task for task in seen["tasks"] if not _within(task, seen["ours"])]
        for start, duration in tasks:
            # A task over the end of a second holds both.
            held.update(range(int((start - began) // 1000), int((start + duration - began) // 1000) + 1))
        seconds = max(1, math.ceil((ended - began) / 1000))
        return cls(
            seconds=seconds,
            seconds_with_long_task=len({second for second in held if 0 <= second < seconds}),
            longest_task_ms=max((duration for _, duration in tasks), default=0.0),
            frame_ms=sorted(seen["frames"]),
            input_ms=sorted(seen["inputs"]),
            events=seen["events"],
        )

    @property
    def smooth_ratio(self) -> float:
        """Share of the seconds without a long task."""
        return 1 - self.seconds_with_long_task / self.seconds


def _within(task: Sequence[float], spans: Sequence[Sequence[float]]) -> bool:
    """Whether the measurement itself was at work, as in a collection it forced."""
    start, duration = task
    return any(start < until and start + duration > since for since, until in spans)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which this share lies, NaN for nothing."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan
