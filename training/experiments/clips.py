"""Real clips through a stream: the surrogate of a track stays one person and does not flicker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from mfm_edge.align import extract
from mfm_edge.factors import Factors
from mfm_edge.runtime import MfmRuntime
from mfm_edge.types import Treatment
from mfm_edge.video import open_source
from training.experiments.subject import CHEAP, Crops
from training.metrics.judges import Judge
from training.metrics.steadiness import flicker, same_throughout
from training.report import Goal, Section, Table

__all__ = ["clips"]

SHORTEST = 5  # frames of a track that counts


def clips(runtime: MfmRuntime, videos: Sequence[Path], frames: int, judges: list[Judge]) -> Section:
    """The first `frames` frames of each video, as they come out of the stream, before any codec."""
    section = Section("Video")
    rows: list[list[str | float | None]] = []
    for video in videos:
        for x, y in _tracks(runtime, video, frames):
            steady: list[float] = []
            for judge in judges:
                found = {name: judge.embed(crops) for name, crops in (("y", y), ("x", x))}
                steady += [same_throughout(found[name], judge.threshold) for name in ("y", "x")]
                steady.append(1 - float(judge.same(found["y"], found["x"]).mean()))
            rows.append([video.stem, f"{len(x)}", flicker(y, x), *steady])
    if not rows:
        section.notes.append("No track was long enough.")
        return section
    values = np.array([row[2:] for row in rows], np.float64)
    weights = np.array([float(str(row[1])) for row in rows])
    mean = (values * weights[:, None]).sum(0) / weights.sum()
    for i, judge in enumerate(judges):
        one, original, hidden = mean[1 + 3 * i : 4 + 3 * i]
        section.goals += [
            Goal(f"video: frame pairs of a track that are one person, {judge.name}", one, ">= 0.99"),
            Goal(f"video: the same of the originals, {judge.name}", original, "to compare"),
            Goal(f"video: de-identified, frame by frame, {judge.name}", hidden, ">= 0.999"),
        ]
    section.goals.append(Goal("video: flicker, surrogate over original (median track)", float(np.median(values[:, 0])),
                              "<= 1.2"))  # fmt: skip
    columns = ["clip", "frames", "flicker"]
    for judge in judges:
        columns += [f"one person, {judge.name}", f"of the originals, {judge.name}", f"de-identified, {judge.name}"]
    section.tables.append(Table("One row a track", columns, rows))
    return section


def _tracks(runtime: MfmRuntime, video: Path, frames: int) -> list[tuple[Crops, Crops]]:
    """RGB crops of originals and surrogates by track, at the places of the stream's records."""
    found: dict[int | None, list[tuple[Crops, Crops]]] = defaultdict(list)
    # A fixed salt, so that two evaluations of one network see the same surrogates.
    stream = runtime.open_stream(Factors("correct horse"), salt=b"evaluation", key_derivation=CHEAP)
    with open_source(video) as source, stream:
        for frame in islice(source, frames):
            protected = stream.anonymize(frame.image)
            for face in protected.faces:
                if face.treatment is Treatment.SURROGATE:
                    pair = (extract(frame.image, face.matrix), extract(protected.frame, face.matrix))
                    found[face.track].append((pair[0][..., ::-1], pair[1][..., ::-1]))
    tracks = (zip(*pairs, strict=True) for pairs in found.values() if len(pairs) >= SHORTEST)
    return [(np.stack(x), np.stack(y)) for x, y in tracks]
