"""The live sinks of `stream`: the browser's view and the virtual camera."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import ExitStack

from mfm_edge.cli.job import Job
from mfm_edge.cli.options import FACTOR_NAMES
from mfm_edge.cli.report import Report
from mfm_edge.errors import ArgumentError
from mfm_edge.factors import Factors
from mfm_edge.live_view import LiveView, parse_address
from mfm_edge.pipeline import Summary, Viewer
from mfm_edge.runtime import MfmStream
from mfm_edge.video import Source

__all__ = ["LiveSinks"]


class LiveSinks:
    """Opens what --serve and --virtual-camera ask for.

    recorded: whether a file is written. A file has one key, so the page changes factors only where there is none.
    """

    def __init__(self, options: argparse.Namespace, report: Report, *, recorded: bool) -> None:
        if options.serve is not None and options.restore:
            raise ArgumentError("serve: got --restore, takes an anonymising stream: the page never shows a raw face")
        self._address = None if options.serve is None else parse_address(options.serve)
        self._device: str | None = options.virtual_camera
        self._report = report
        self._recorded = recorded
        self._view: LiveView | None = None

    def open(self, opened: ExitStack, source: Source, job: Job) -> tuple[Viewer, ...]:
        """Opens them for one source; the stack closes them."""
        viewers: list[Viewer] = []
        if self._device is not None:
            from mfm_edge.video.virtual_camera import VirtualCamera

            rate = source.frame_rate or 30.0
            camera = VirtualCamera(size=source.size, frame_rate=rate, device=self._device or None)
            opened.callback(camera.close)
            self._report.line(f"camera   {camera.name}")
            viewers.append(camera)
        if self._address is not None:
            self._view = LiveView(
                *self._address, attributes={name: getattr(job.factors, name) for name in FACTOR_NAMES}
            )
            opened.callback(self._view.close)
            self._report.say(f"live view at {self._view.url}")
            self._report.event("serving", {"url": self._view.url})
            viewers.append(self._view)
        return tuple(viewers)

    def tell(self, summary: Summary) -> None:
        """Passes the counts on to the page."""
        if self._view is not None:
            self._view.count(summary.frames, summary.faces, summary.incidents)

    def stream_opened(self, stream: MfmStream, factors: Factors) -> None:
        """Lets the page change the stream's attributes, unless it is recorded."""
        if self._view is None or self._recorded:
            return

        def change(attributes: Mapping[str, object]) -> None:
            stream.change_factors(Factors.from_mapping({"password": factors.password, **attributes}))

        self._view.accept_changes(change)
