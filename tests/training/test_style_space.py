import numpy as np

from mfm_edge.style import COORDINATES, face_mask


def test_synthesis_inverts_analysis(space):
    np.testing.assert_allclose(space.synthesis @ space.analysis, np.eye(COORDINATES), atol=1e-4)


def test_coordinates_ignore_brightness(space):
    """A brighter picture of the same face has the same coordinates."""
    flat = np.ones(1024, np.float32)
    assert np.abs(flat @ space.analysis).max() < 1e-3


def test_the_change_lies_inside_the_face(space):
    outside = face_mask(32).ravel() < 0.02
    assert np.abs(space.synthesis[:, outside]).max() < 0.05 * np.abs(space.synthesis).max()


