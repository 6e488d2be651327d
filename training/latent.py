"""python -m training.latent: the paper's section 4.2 on an exported model, as pictures.

Where the style features of unseen faces lie (PCA and t-SNE; Figures 5, 7 and 9), what sliding along an attribute does
to a surrogate (Figures 6, 8, 10, 12 and 13), and what is left when the bottleneck is compressed (Figure 11).
Writes report.md with its pictures and latent.npz, the directions and cluster centres, into a folder.
"""

from __future__ import annotations

import argparse
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score

from mfm_edge.engine.onnx import SHIPPED_MODEL, OnnxEngine
from mfm_edge.engine.steps import run_parts
from mfm_edge.factors import ATTRIBUTES, Factors
from mfm_edge.style import StyleKey, expand
from training.data import FaceSet, load_faces
from training.experiments.pictures import save_grid
from training.experiments.subject import Crops, key_of, modify, split_unseen
from training.metrics.recovery import psnr
from training.report import Section, Table, write_report

matplotlib.use("Agg")
from matplotlib import pyplot as plt

__all__ = ["compressed", "main", "sliders", "style_features"]

FloatArray = NDArray[np.float32]
BATCH = 16
HAIR = slice(0, 4)  # of ATTRIBUTES
SLIDERS = ("black_hair", "blond_hair", "male", "young", "smiling", "mustache", "mouth_open")


def style_features(engine: OnnxEngine, faces: FaceSet) -> FloatArray:
    """(N, 1024) float32: what the style encoder draws of each face as it comes in."""
    found: list[FloatArray] = []

    def watched(part: str, /, **inputs: NDArray[Any]) -> list[FloatArray]:
        outputs = engine.run_part(part, **inputs)
        if part == "style_encoder":
            found.append(outputs[0].reshape(len(outputs[0]), -1))
        return outputs

    key = key_of(Factors("latent"))
    for start in range(0, len(faces), BATCH):
        some = faces.take(slice(start, start + BATCH))
        run_parts(watched, some.crops[..., ::-1], [key] * len(some), some.landmarks)
    return np.concatenate(found)


def sliders(engine: OnnxEngine, faces: FaceSet, attribute: str, steps: int = 5) -> dict[str, Crops]:
    """Surrogates under one secret with an attribute asked for more and more, -1 to 1, by title; as crops."""
    direction = np.zeros(len(ATTRIBUTES), np.float32)
    direction[ATTRIBUTES.index(attribute)] = 1
    secret = np.random.default_rng(6).bytes(32)
    return {
        f"{attribute} {strength:+.1f}": modify(
            engine, faces.crops, faces.landmarks, [expand(secret, direction * strength)]
        )
        for strength in np.linspace(-1, 1, steps, dtype=np.float32)
    }


def compressed(engine: OnnxEngine, faces: FaceSet, key: StyleKey, bits: int) -> tuple[Crops, float]:
    """Surrogates with the content latent rounded to 2**bits levels and deflated: the pictures, as crops, and the mean
    size of a face's latent in bytes."""
    sizes: list[int] = []

    def coarse(part: str, /, **inputs: NDArray[Any]) -> list[FloatArray]:
        outputs = engine.run_part(part, **inputs)
        if part != "content_encoder":
            return outputs
        (latent,) = outputs
        low, high = latent.min((2, 3), keepdims=True), latent.max((2, 3), keepdims=True)
        step = np.maximum(high - low, 1e-6) / (2**bits - 1)
        levels = np.rint((latent - low) / step).astype(np.uint8)
        sizes.extend(len(zlib.compress(face.tobytes(), 9)) for face in levels)
        return [(levels * step + low).astype(np.float32)]

    parts = [faces.take(slice(i, i + BATCH)) for i in range(0, len(faces), BATCH)]
    done = [run_parts(coarse, part.crops[..., ::-1], [key] * len(part), part.landmarks).faces for part in parts]
    return np.concatenate(done)[..., ::-1], float(np.mean(sizes))


def _clusters(features: FloatArray, faces: FaceSet, folder: Path) -> Section:
    section = Section("Where style features lie")
    reduced = PCA(min(32, len(features) - 1), random_state=0).fit_transform(features)
    flat = TSNE(perplexity=min(30, (len(features) - 1) // 3), init="pca", random_state=0).fit_transform(reduced)
    hair = faces.attributes[:, HAIR]
    one = hair.sum(1) == 1
    colours = dict(zip(ATTRIBUTES[HAIR], ("black", "gold", "saddlebrown", "gray"), strict=True))
    groups = {name: one & hair[:, i] for i, name in enumerate(colours)}
    section.pictures["Figure 5: four hair colours (PCA; t-SNE)"] = _scatter(
        folder / "figure-5.png", (reduced[:, :2], flat), groups, colours
    )
    section.pictures["Figure 7: attributes (t-SNE; blue: present)"] = _panels(
        folder / "figure-7.png", flat, faces.attributes
    )
    directions = _directions(reduced, faces.attributes)
    section.pictures["Figure 9: correlation of attribute directions"] = _correlation(
        folder / "figure-9.png", np.nan_to_num(np.corrcoef(directions))
    )
    rows: list[list[str | float | None]] = []
    for name, present in [*zip(ATTRIBUTES, faces.attributes.T, strict=True)]:
        apart = float(silhouette_score(reduced, present)) if 1 < present.sum() < len(present) - 1 else None
        rows.append([name, float(present.mean()), apart])
    section.tables.append(Table("How far an attribute parts the features", ("attribute", "share", "silhouette"), rows))
    section.notes.append(
        "Silhouette: 1 apart, 0 mixed. The features are coarse luminance of the face's inside alone: hair and skin "
        "colour are not in them."
    )
    return section


def _directions(features: FloatArray, attributes: NDArray[np.bool_]) -> FloatArray:
    """(N, D), (N, A) -> (A, D): from the mean of those without an attribute to that of those with it."""
    return np.stack(
        [
            features[a].mean(0) - features[~a].mean(0) if 0 < a.sum() < len(a) else np.zeros(features.shape[1])
            for a in attributes.T
        ]
    ).astype(np.float32)


def _scatter(
    path: Path, views: tuple[FloatArray, ...], groups: dict[str, NDArray[np.bool_]], colours: dict[str, str]
) -> Path:
    figure, axes = plt.subplots(1, len(views), figsize=(5 * len(views), 5), layout="constrained")
    for axis, points in zip(axes, views, strict=True):
        for name, member in groups.items():
            axis.scatter(*points[member].T, s=8, c=colours[name], label=name)
            if member.any():
                axis.scatter(*points[member].mean(0), s=120, c=colours[name], marker="X", edgecolors="white")
        axis.set(xticks=[], yticks=[])
    axes[-1].legend()
    return _saved(figure, path)


def _panels(path: Path, points: FloatArray, attributes: NDArray[np.bool_]) -> Path:
    figure, axes = plt.subplots(3, 6, figsize=(12, 6.5), layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, name, present in zip(axes.flat, ATTRIBUTES, attributes.T, strict=False):
        axis.scatter(*points[~present].T, s=3, c="lightgray")
        axis.scatter(*points[present].T, s=3, c="tab:blue")
        axis.set_title(name, fontsize=9)
    return _saved(figure, path)


def _correlation(path: Path, matrix: NDArray[np.float64]) -> Path:
    figure, axis = plt.subplots(figsize=(7, 6), layout="constrained")
    shown = axis.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu")
    axis.set_xticks(range(len(ATTRIBUTES)), ATTRIBUTES, rotation=90)
    axis.set_yticks(range(len(ATTRIBUTES)), ATTRIBUTES)
    figure.colorbar(shown)
    return _saved(figure, path)


def _saved(figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _slid(engine: OnnxEngine, faces: FaceSet, folder: Path) -> Section:
    section = Section("Attributes as sliders (Figures 6, 8, 10, 12 and 13)")
    section.notes.append(
        "Under one secret; the strengths between are no factors that a user can ask for, and would each derive a "
        "secret of their own."
    )
    for attribute in SLIDERS:
        columns = {"input": faces.crops, **sliders(engine, faces, attribute)}
        section.pictures[attribute] = save_grid(folder / f"slider-{attribute}.png", columns)
    return section


def _squeezed(engine: OnnxEngine, faces: FaceSet, folder: Path) -> Section:
    section = Section("A compressed bottleneck (Figure 11)")
    key = key_of(Factors("latent"))
    crops = faces.crops
    plain = modify(engine, crops, faces.landmarks, [key])
    rows: list[list[str | float | None]] = []
    columns = {"input": crops, "as it is": plain}
    for bits in (8, 6, 4, 2, 1):
        y, size = compressed(engine, faces, key, bits)
        r, _ = compressed(engine, replace(faces, crops=y), key.inverse(), bits)
        rows.append([f"{bits}", size * 8, *(float(np.median(psnr(a, b))) for a, b in ((plain, y), (crops, r)))])
        columns[f"{bits} bits"] = y
    titles = ("bits a value", "bits a face", "surrogate against uncompressed, dB", "restored against original, dB")
    section.tables.append(Table(f"{len(crops)} faces", titles, rows))
    section.pictures["Surrogates with fewer bits"] = save_grid(folder / "figure-11.png", columns)
    section.notes.append(
        "Only the content latent is compressed, in both directions alike; decoder and style encoder also read the "
        "crop, so this says how much the latent matters and not how small a face's file could be."
    )
    return section


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.latent", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/celeba"), help="folder with val-*.parquet")
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL, help="folder of the exported network")
    parser.add_argument("--report", type=Path, default=Path("runs/latent"), help="folder for all that it writes")
    parser.add_argument("--faces", type=int, default=600, help="whose features are drawn (default: %(default)s)")
    args = parser.parse_args(argv)
    folder: Path = args.report
    folder.mkdir(parents=True, exist_ok=True)
    engine = OnnxEngine(args.model, trust_unknown_model=True)
    faces, _ = split_unseen(load_faces(args.data, "val"), args.faces)
    features = style_features(engine, faces)
    some = faces.take(np.linspace(0, len(faces) - 1, min(4, len(faces))).astype(np.intp))
    sections = [_clusters(features, faces, folder), _slid(engine, some, folder), _squeezed(engine, some, folder)]
    write_report(folder, sections, about={"model_id": engine.model_id, "faces": len(faces)}, title="Latent space")
    present = faces.attributes[:, :, None]
    centres = (features[:, None] * present).sum(0) / np.maximum(present.sum(0), 1)
    directions = _directions(features, faces.attributes)
    np.savez(folder / "latent.npz", model_id=engine.model_id, directions=directions, centres=centres)
    print(folder / "report.md")


if __name__ == "__main__":
    main()
