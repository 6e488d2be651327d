import numpy as np
import pytest

from mfm_edge.style import BANDS, COORDINATES, STYLE_SIZE, expand, face_mask, signature, signature_cells

NO_ATTRIBUTES = np.zeros(17, np.float32)
KNOWN_ROTATION = [0.2355206, -0.0484028, 0.1161038, -0.0471045]
KNOWN_BITS = "+-+-+++---+++---"


def test_rotation_is_orthogonal_and_stays_within_bands():
    key = expand(b"s" * 32, NO_ATTRIBUTES)
    np.testing.assert_allclose(key.rotation @ key.rotation.T, np.eye(COORDINATES), atol=1e-5)
    band = BANDS[0]
    assert not key.rotation[:band, band:].any()
    assert not key.rotation[band:, :band].any()


def test_same_secret_same_key_other_secret_unrelated_key():
    one, again, other = (
        expand(b"a" * 32, NO_ATTRIBUTES),
        expand(b"a" * 32, NO_ATTRIBUTES),
        expand(b"b" * 32, NO_ATTRIBUTES),
    )
    np.testing.assert_array_equal(one.rotation, again.rotation)
    np.testing.assert_array_equal(one.signature, again.signature)
    # Two random rotations agree by chance only: the mean diagonal of R1^T R2 is near 0, not 1.
    assert abs(np.trace(one.rotation.T @ other.rotation)) / COORDINATES < 0.15
    bits = signature_cells()[60:]
    assert 0.35 < np.mean(one.signature[bits] == other.signature[bits]) < 0.65


def test_inverse_turns_back_and_flips_only_the_direction():
    key = expand(b"k" * 32, NO_ATTRIBUTES)
    back = key.inverse()
    np.testing.assert_allclose(back.rotation @ key.rotation, np.eye(COORDINATES), atol=1e-5)
    assert np.count_nonzero(back.signature != key.signature) == 8
    np.testing.assert_array_equal(back.inverse().signature, key.signature)


def test_signature_stays_outside_the_face_and_carries_attributes():
    wanted = NO_ATTRIBUTES.copy()
    wanted[3] = -1
    plain = signature(np.ones(STYLE_SIZE, bool), NO_ATTRIBUTES)
    asked = signature(np.ones(STYLE_SIZE, bool), wanted)
    assert np.abs(asked * (face_mask(32).ravel() >= 0.02)).max() == 0
    assert np.count_nonzero(plain != asked) == 2


def test_rotation_is_uniform_not_biased_by_qr():
    # Without the sign correction of QR the diagonal would be mostly of one sign.
    diagonals = np.concatenate([np.diag(expand(bytes([i]) * 32, NO_ATTRIBUTES).rotation) for i in range(40)])
    assert abs(np.mean(np.sign(diagonals))) < 0.12


def test_known_vector():
    """The code a secret gives is part of the format: changing it makes every protected video unrestorable."""
    key = expand(bytes(range(32)), NO_ATTRIBUTES)
    np.testing.assert_allclose(key.rotation[0, :4], KNOWN_ROTATION, atol=1e-6)
    assert "".join("+" if v > 0 else "-" for v in key.signature[signature_cells()[42:58]]) == KNOWN_BITS


@pytest.mark.parametrize("size", [32, 64, 128])
def test_face_mask_covers_the_features_and_spares_the_corners(size):
    mask = face_mask(size)
    cell = 128 / size
    for x, y in ((49.7, 66.3), (78.0, 66.4), (63.3, 82.6), (51.9, 95.2), (75.7, 95.6)):
        assert mask[int(y / cell), int(x / cell)] > 0.75
    assert max(mask[0, 0], mask[0, -1], mask[-1, 0], mask[-1, -1]) < 1e-3


def test_repr_shows_no_secret():
    key = expand(b"k" * 32, NO_ATTRIBUTES)
    assert "array" not in repr(key) and "rotation" not in repr(key)
