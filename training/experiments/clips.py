"""Real clips through a stream: the surrogate of a track stays one person and does not flicker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from mfm_edge.align import extract
from mfm_edge.factors import Factors
from mfm_edge.runtime import MfmRuntime
from mfm_edge.types import Treatment
from mfm_edge.video import open_source
from training.experiments.subject import CHEAP, Crops
from training.metrics.channels import h264
from training.metrics.judges import Judge
from training.metrics.steadiness import flicker, same_throughout
from training.report import Goal, Section, Table

__all__ = ["clips"]

SHORTEST = 5  # frames of a track that counts
CRF = 23


def clips(runtime: MfmRuntime, videos: Sequence[Path], frames: int, judges: list[Judge]) -> Section:
    """The first `frames` frames of each video, as they come out of the stream, before any codec; and restored from
    H.264 with their sidecar's records and without them."""
    section = Section("Video")
    rows: list[list[str | float | None]] = []
    for video in videos:
        for x, y, r, s in _tracks(runtime, video, frames):
            steady: list[float] = []
            for judge in judges:
                found = {name: judge.embed(crops) for name, crops in (("y", y), ("x", x), ("r", r), ("s", s))}
                steady += [same_throughout(found[name], judge.threshold) for name in ("y", "x")]
                same = {name: float(judge.same(found[name], found["x"]).mean()) for name in ("y", "r", "s")}
                steady += [1 - same["y"], same["r"], same["s"]]
            rows.append([video.stem, f"{len(x)}", flicker(y, x), *steady])
    if not rows:
        section.notes.append("No track was long enough.")
        return section
    values = np.array([row[2:] for row in rows], np.float64)
    weights = np.array([float(str(row[1])) for row in rows])
    mean = (values * weights[:, None]).sum(0) / weights.sum()
    for i, judge in enumerate(judges):
        one, original, hidden, known, found_again = mean[1 + 5 * i : 6 + 5 * i]
        section.goals += [
            Goal(f"video: frame pairs of a track that are one person, {judge.name}", one, ">= 0.99"),
            Goal(f"video: the same of the originals, {judge.name}", original, "to compare"),
            Goal(f"video: de-identified, frame by frame, {judge.name}", hidden, ">= 0.999"),
            Goal(f"video: re-identified from H.264 (crf {CRF}), frame by frame, {judge.name}", known, ">= 0.98"),
            Goal(f"video: the same without the sidecar, {judge.name}", found_again, "reported"),
        ]
    section.goals.append(Goal("video: flicker, surrogate over original (median track)", float(np.median(values[:, 0])),
                              "<= 1.2"))  # fmt: skip
    columns = ["clip", "frames", "flicker"]
    for judge in judges:
        columns += [f"one person, {judge.name}", f"of the originals, {judge.name}", f"de-identified, {judge.name}"]
        columns += [f"re-identified, {judge.name}", f"without the sidecar, {judge.name}"]
    section.tables.append(Table("One row a track", columns, rows))
    return section


def _tracks(runtime: MfmRuntime, video: Path, frames: int) -> list[tuple[Crops, ...]]:
    """RGB crops by track, at the places of the stream's records: originals, surrogates, restored with the records and
    without."""
    # A fixed salt, so that two evaluations of one network see the same surrogates.
    opened = partial(runtime.open_stream, Factors("correct horse"), salt=b"evaluation", key_derivation=CHEAP)
    with open_source(video) as source, opened() as stream:
        originals = [frame.image for frame in islice(source, frames)]
        protected = [stream.anonymize(frame) for frame in originals]
    crops: dict[int | None, list[list[Crops]]] = defaultdict(list)
    sent = h264([done.frame for done in protected], CRF)
    with opened() as stream:
        for x, done, coded in zip(originals, protected, sent, strict=True):
            faces = [face for face in done.faces if face.treatment is Treatment.SURROGATE]
            shown = x, done.frame, stream.restore(coded, done.faces).frame, stream.restore(coded).frame
            for face in faces:
                crops[face.track].append([extract(frame, face.matrix)[..., ::-1] for frame in shown])
    tracks = (zip(*rows, strict=True) for rows in crops.values() if len(rows) >= SHORTEST)
    return [tuple(np.stack(kind) for kind in track) for track in tracks]
