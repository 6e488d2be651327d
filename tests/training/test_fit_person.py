"""How people differ, told apart from how pictures of one person do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.data import FaceSet
from training.fit_person import VARIED, between_people, fit_person
from training.style_space import StyleSpace


@pytest.mark.parametrize("pictures", [2, 5])
def test_people_vary_less_than_their_pictures(pictures: int) -> None:
    generator = torch.Generator().manual_seed(pictures)
    people, axes = 4000, torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.3, 0.0]], dtype=torch.float64)
    mean = torch.randn(people, 2, generator=generator, dtype=torch.float64) @ axes
    light = torch.randn(people, pictures, 3, generator=generator, dtype=torch.float64)
    left, whose = (mean[:, None] + 2 * light).flatten(0, 1), torch.arange(people).repeat_interleave(pictures)
    mixed = torch.randperm(len(left), generator=generator)
    found = between_people(left[mixed], 7 * whose[mixed])
    torch.testing.assert_close(found, axes.T @ axes, atol=0.25, rtol=0)


def test_one_picture_of_each_says_how_pictures_differ() -> None:
    left = torch.randn(5000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(between_people(left, torch.arange(5000)), torch.eye(2).double(), atol=0.1, rtol=0)


def test_keys_ask_for_people_who_differ_as_people_do(space: StyleSpace, faces: FaceSet) -> None:
    """The same faces, all of one person: nobody differs from anybody but by OF_PICTURES."""
    many = FaceSet(faces.crops, np.arange(len(faces)), faces.attributes, faces.landmarks)
    one = FaceSet(faces.crops, np.zeros(len(faces), np.int64), faces.attributes, faces.landmarks)
    differ, alike = (np.linalg.norm(fit_person(space, some).variety, axis=1).mean() for some in (many, one))
    assert alike < 0.5 * differ and differ < 2 * VARIED
    found = fit_person(space, faces).variety
    assert np.isfinite(found).all() and np.linalg.matrix_rank(found) == len(found)
