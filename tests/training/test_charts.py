"""Charts are files that can be read, and show the numbers that they were given."""

import cv2
import numpy as np

from training.experiments.charts import save_bars, save_distances, save_matrices


def ink(path, colour: tuple[int, int, int], tolerance: int = 30) -> int:
    """Pixels of about an RGB colour."""
    picture = cv2.imread(str(path))[..., ::-1].astype(int)
    return int((np.abs(picture - colour).max(2) < tolerance).sum())


def test_bars_are_as_high_as_the_rates(tmp_path):
    blue, orange = (31, 119, 180), (255, 127, 14)  # the first two of matplotlib's colours
    path = save_bars(tmp_path / "bars.png", ["a", "b"], {"hidden": [1.0, 0.8], "back": [0.5, 0.4]})
    assert 1.8 < ink(path, blue) / ink(path, orange) < 2.2


def test_a_matrix_is_dark_where_its_share_is_high(tmp_path):
    dark = (8, 48, 107)
    one, none = np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros((2, 2))
    names = {"rows": ("same", "others"), "columns": ("matched", "not")}
    both = save_matrices(tmp_path / "both.png", {"right": one, "never": none}, **names)
    alone = save_matrices(tmp_path / "alone.png", {"right": one}, **names)
    assert ink(alone, dark) > 10_000 and cv2.imread(str(both)).shape[1] > 1.5 * cv2.imread(str(alone)).shape[1]


def test_distances_show_what_is_tolerated(tmp_path):
    red = (214, 39, 40)
    kinds = {"1 bit": np.array([[0.8, 1.5], [1.2, 0.9]]), "2 bits": np.array([[1.1, 1.9]])}
    assert ink(save_distances(tmp_path / "distances.png", {"SFace": kinds, "dlib": kinds}, same=1), red) > 100
