"""What a command tells: lines and a progress bar for people, or one JSON object a line for programs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfm_edge.pipeline import Summary
    from mfm_edge.video import Source

__all__ = ["Report"]

_PROGRESS_SECONDS = 1.0


class Report:
    """program: for lines on standard error. json: whether events go to standard output instead of lines.

    A reader of standard output that goes away does not end the work.
    """

    def __init__(self, program: str, *, json: bool = False) -> None:
        self.program = program
        self.json = json

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        """One JSON object, {"event": name, ...}, on standard output; nothing without --json."""
        if self.json:
            self._print(json.dumps({"event": name, **fields}, default=str))

    def line(self, text: str) -> None:
        """A result for people, on standard output; nothing with --json."""
        if not self.json:
            self._print(text)

    def say(self, text: str) -> None:
        """A line on standard error."""
        print(f"{self.program}: {text}", file=sys.stderr)

    def notice(self, text: str) -> None:
        """Something that was not done as asked."""
        self.event("notice", {"text": text})
        self.say(f"notice: {text}")

    def warning(self, text: str) -> None:
        """Something that the user should know beforehand."""
        self.event("warning", {"text": text})
        self.say(f"warning: {text}")

    def error(self, text: str) -> None:
        """A failure, in one line."""
        text = " ".join(text.split())
        self.event("error", {"text": text})
        self.say(f"error: {text}")

    @contextmanager
    def progress(self, source: Source) -> Iterator[Callable[[Summary], object]]:
        """Gives what is to be called with the counts after every frame."""
        if self.json:
            yield self._progress_events()
            return
        from tqdm import tqdm

        with tqdm(
            total=source.frame_count,
            unit=" frames",
            desc=source.name.rsplit("/", 1)[-1],
            leave=False,
            file=sys.stderr,
            mininterval=0.1 if sys.stderr.isatty() else 10.0,  # a log file wants few lines
        ) as bar:
            yield lambda summary: bar.update()

    def _progress_events(self) -> Callable[[Summary], object]:
        started = shown = time.monotonic()

        def tell(summary: Summary) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown >= _PROGRESS_SECONDS:
                shown = now
                counts = {"frames": summary.frames, "faces": summary.faces, "incidents": summary.incidents}
                self.event("progress", {**counts, "frames_per_second": round(summary.frames / (now - started), 2)})

        return tell

    def _print(self, text: str) -> None:
        try:
            print(text, flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
