import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from mfm_edge.engine.onnx import OnnxEngine
from mfm_edge.style import FaceKeys, StyleKey
from training.data import FaceSet
from training.evaluate import EXPERIMENTS, README_BEGIN, README_END, main, publish
from training.experiments import diversity as ten_passwords
from training.experiments.control import requests
from training.experiments.made import WRONG, Made, make_faces
from training.experiments.passwords import BIT_PASSWORD, flipped, places, similar_passwords
from training.experiments.subject import modify, random_keys, split_unseen
from training.report import Goal, Section, Table, to_text, write_report

SHARED = Path(__file__).parents[3] / "shared"


def test_every_kind_of_face_is_made_with_its_own_key(faces):
    crops = faces.crops[:3]
    made = Made(make_faces(OnnxEngine(), faces.take(slice(3))), [])
    assert set(made.crops) == {
        "x", "y", "y2", "r", "r: JPEG", "y: blur", "y: JPEG", "y: 64 px", *(f"w: {kind}" for kind in WRONG)
    }  # fmt: skip
    assert len(made) == 3
    assert all(m.shape == crops.shape and m.dtype == np.uint8 for m in made.crops.values())
    kinds = list(made.crops)
    for i, one in enumerate(kinds):
        for other in kinds[i + 1 :]:
            assert (made[one] != made[other]).any(), (one, other)


def test_keys_take_turns(faces):
    crops, places = faces.crops[:3], faces.landmarks[:3]
    engine, keys = OnnxEngine(), random_keys(2, np.random.default_rng(1))
    changed = modify(engine, crops, places, keys)
    alone = engine.modify(crops[1:2, ..., ::-1], keys[1:], places[1:2]).faces[..., ::-1]
    assert np.abs(changed[1].astype(int) - alone[0]).max() <= 1
    assert (changed[0] != engine.modify(crops[:1, ..., ::-1], keys[1:], places[:1]).faces[0, ..., ::-1]).mean() > 0.1


def test_those_measured_and_those_compared_with_are_different_people():
    people = np.repeat(np.arange(40), 5)
    n = len(people)
    everyone = FaceSet(
        np.zeros((n, 1, 1, 3), np.uint8), people, np.zeros((n, 17), bool), np.zeros((n, 5, 2), np.float32)
    )
    measured, others = split_unseen(everyone, 10)
    assert len(measured) == 10 == len(set(measured.identities)) and len(others) == 40
    assert not set(measured.identities) & set(others.identities)
    with pytest.raises(SystemExit, match="takes 1 to 100"):
        split_unseen(everyone, 101)


def test_every_value_of_every_factor_is_asked_for_once():
    asked = list(requests())
    assert len(asked) == 4 + 2 * 13 == len({name for name, *_ in asked})
    for name, factors, index, wanted in asked:
        vector = factors.attribute_vector()
        assert vector[index] == (1 if wanted else -1), name
        assert (vector != 0).sum() == (4 if name.startswith("hair") else 1), name


def test_similar_passwords_differ_in_as_many_bits_and_from_each_other():
    for bits in (1, 2, 3):
        others = [flipped(BIT_PASSWORD, at) for at in places(16, bits, 12, np.random.default_rng(0))]
        assert len(set(others)) == 12
        assert all(sum(a != b for a, b in zip(BIT_PASSWORD, other, strict=True)) == bits for other in others)


def test_similar_passwords_are_drawn_and_counted(faces, tmp_path):
    """By a judge to whom two pictures are as far apart as their mean brightness."""
    judge = SimpleNamespace(
        name="stand-in", tolerance=30.0, used_in_training=True,
        distance=lambda a, b: np.abs(a.mean((1, 2, 3)) - b.mean((1, 2, 3))),
    )  # fmt: skip
    section = similar_passwords(OnnxEngine(), faces.take(slice(1)), [judge], tmp_path)
    (picture,) = section.pictures.values()
    assert picture.name == "figure-23.png" and cv2.imread(str(picture)).std() > 5
    assert [len(table.rows) for table in section.tables] == [1, 7]
    worst = section.goals[1].value * judge.tolerance
    assert worst == pytest.approx(min(float(row[3]) for row in section.tables[1].rows)) and worst > 0


def test_every_face_has_ten_passwords_of_its_own(faces, monkeypatch):
    """And each pair of its surrogates is compared, in chosen slots: by a judge who goes by how bright they are."""
    slots, seen, used = iter([2, 5] * 10), list[FaceKeys](), list[StyleKey]()

    def choose(_choice: object, _x: object, _places: object, keys: list[FaceKeys]) -> list[int]:
        seen.extend(keys)
        return [next(slots) for _ in keys]

    def modify(_engine: object, x: np.ndarray, _places: object, keys: list[StyleKey]) -> np.ndarray:
        used.extend(keys)
        return x

    monkeypatch.setattr(ten_passwords, "choose_slots", choose)
    monkeypatch.setattr(ten_passwords, "modify", modify)

    def embed(x: np.ndarray) -> torch.Tensor:
        return torch.eye(2)[: len(x)]

    same = iter([[True, False]] * 20 + [[False, False]] * 25)
    judge = SimpleNamespace(name="stand-in", tolerance=1.0, embed=embed, same=lambda _a, _b: np.array(next(same)))
    section = ten_passwords.diversity(OnnxEngine(), faces.take(slice(2)), [judge])
    assert section.goals[0].value == pytest.approx(20 / 90)
    assert len({keys.of(0).signs.tobytes() for keys in seen}) == 20
    assert used == [keys.of(slot) for keys, slot in zip(seen, [2, 5] * 10, strict=True)]


def test_publishing_replaces_the_table_and_nothing_else(tmp_path):
    card, readme = tmp_path / "card.json", tmp_path / "README.md"
    card.write_text('{"steps": 5, "sha256": {}}')
    readme.write_text(f"before\n{README_BEGIN}\nold\n{README_END}\nafter\n")
    rows = [Goal("what", 0.5, ">= 1"), Goal("trained on", 1.0, ">= 1", counts=False)]
    publish(rows, card, readme, faces=3)
    publish(rows, card, readme, faces=3)
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert text.count("| what | 0.500 | >= 1 |") == 1 and "trained on" not in text
    assert json.loads(card.read_text())["measured"]["rows"][1]["counts"] is False
    assert "does not count" in to_text(rows)


def test_publishing_some_rows_keeps_the_others_of_as_many_faces(tmp_path):
    card, readme = tmp_path / "card.json", tmp_path / "README.md"
    card.write_text('{"steps": 5, "sha256": {}}')
    readme.write_text(f"{README_BEGIN}\n{README_END}")
    publish([Goal("first", 0.5, ">= 1"), Goal("second", 0.6, ">= 1")], card, readme, faces=3)
    publish([Goal("second", 0.7, ">= 1"), Goal("third", 0.8, ">= 1")], card, readme, faces=3)
    rows = json.loads(card.read_text())["measured"]["rows"]
    assert [(row["what"], row["value"]) for row in rows] == [("first", 0.5), ("second", 0.7), ("third", 0.8)]
    assert "| first | 0.500 | >= 1 |\n| second | 0.700 | >= 1 |\n| third | 0.800 | >= 1 |" in readme.read_text()
    publish([Goal("second", 0.7, ">= 1")], card, readme, faces=4)
    assert [row["what"] for row in json.loads(card.read_text())["measured"]["rows"]] == ["second"]


def test_a_report_holds_rows_tables_and_pictures(tmp_path):
    table = Table("of things", ("thing", "size"), [["one", 0.12345], ["other", None]])
    section = Section("Part", goals=[Goal("what", 0.5, ">= 1", counts=False)], tables=[table], notes=["Careful."])
    section.pictures["A face"] = tmp_path / "face.png"
    write_report(tmp_path, [section], about={"faces": 3})
    text, content = (tmp_path / "report.md").read_text(), json.loads((tmp_path / "report.json").read_text())
    for line in ("- faces: 3", "Careful.", "| what (does not count) | 0.500 | >= 1 |", "| one | 0.123 |",
                 "| other | - |", "![A face](face.png)"):  # fmt: skip
        assert line in text
    (found,) = content["sections"]
    assert content["faces"] == 3 and found["tables"][0]["rows"] == [["one", 0.1235], ["other", None]]


@pytest.mark.skipif(not (SHARED / "data" / "celeba").is_dir(), reason="needs ../shared/data/celeba")
def test_the_command_measures_a_few_faces(tmp_path, capsys):
    some = [name for name in EXPERIMENTS if name in ("quality", "recognisers", "grids")]
    main(["--data", str(SHARED / "data" / "celeba"), "--report", str(tmp_path), "--faces", "2", "--only", *some])
    content = json.loads((tmp_path / "report.json").read_text())
    titles = [section["title"] for section in content["sections"]]
    assert titles == ["Quality", "Figures 16 and 17: recognisers", "Figures 18 to 22: pictures"]
    rows = {row["what"]: row for row in content["sections"][0]["rows"]}
    assert rows["restored PSNR, dB (median)"]["value"] > 25
    assert not rows["re-identified, dlib (used in training)"]["counts"] and rows["re-identified, SFace"]["counts"]
    assert all((tmp_path / f"figure-{i}.png").stat().st_size > 10_000 for i in range(16, 23))
    assert "restored PSNR" in capsys.readouterr().out
