import numpy as np

from mfm_edge.style import COORDINATES, LIGHTS, face_blocks
from training.data import to_tensor
from training.fit_style_space import coarse_luminance


def test_synthesis_inverts_analysis(space):
    np.testing.assert_allclose(space.synthesis @ space.analysis, np.eye(COORDINATES), atol=1e-4)


def test_coordinates_ignore_brightness(space):
    """A brighter picture of the same face has the same coordinates."""
    flat = np.ones(144, np.float32)
    assert np.abs(flat @ space.analysis).max() < 1e-3


def test_light_and_coordinates_do_not_touch_each_other(space):
    read = np.concatenate([space.analysis, space.light_analysis], 1)
    drawn = np.concatenate([space.synthesis, space.light_synthesis])
    np.testing.assert_allclose(drawn @ read, np.eye(COORDINATES + LIGHTS), atol=1e-4)
    assert np.abs(space.rest.T @ space.light_analysis).max() < 1e-4


def test_a_change_of_light_is_as_large_as_faces_differ(space, faces):
    """Half as large for brightness, contrast and where the nose points; faces of other people differ as much in what a
    key changes."""
    coarse = coarse_luminance(to_tensor(faces.crops)).flatten(1).numpy()
    spread = (coarse @ space.light_analysis).std(0)
    assert (spread[:4] > 1.8).all() and (spread[4:] < 1.3).all() and (spread[4:] > 0.7).all()


def test_the_change_lies_inside_the_face(space):
    outside = face_blocks().ravel() == 0
    for drawn, read in ((space.synthesis, space.analysis), (space.light_synthesis, space.light_analysis)):
        assert not drawn[:, outside].any() and not read[outside].any()


def test_the_rest_is_orthonormal_and_moves_no_coordinate(space):
    np.testing.assert_allclose(space.rest.T @ space.rest, np.eye(space.rest.shape[1]), atol=1e-5)
    assert space.rest.shape[1] >= 20
    assert np.abs(space.rest.T @ space.analysis).max() < 1e-4
    assert np.abs(space.rest.T @ face_blocks().ravel() ** 2).max() < 1e-4  # brightness stays
