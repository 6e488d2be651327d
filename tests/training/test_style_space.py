import numpy as np

from mfm_edge.style import COORDINATES, face_blocks


def test_synthesis_inverts_analysis(space):
    np.testing.assert_allclose(space.synthesis @ space.analysis, np.eye(COORDINATES), atol=1e-4)


def test_coordinates_ignore_brightness(space):
    """A brighter picture of the same face has the same coordinates."""
    flat = np.ones(144, np.float32)
    assert np.abs(flat @ space.analysis).max() < 1e-3


def test_the_change_lies_inside_the_face(space):
    outside = face_blocks().ravel() == 0
    assert not space.synthesis[:, outside].any() and not space.analysis[outside].any()


def test_the_rest_is_orthonormal_and_moves_no_coordinate(space):
    np.testing.assert_allclose(space.rest.T @ space.rest, np.eye(space.rest.shape[1]), atol=1e-5)
    assert space.rest.shape[1] >= 20
    assert np.abs(space.rest.T @ space.analysis).max() < 1e-4
    assert np.abs(space.rest.T @ face_blocks().ravel() ** 2).max() < 1e-4  # brightness stays
