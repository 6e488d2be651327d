import numpy as np
import pytest

from mfm_edge.style import (
    BANDS,
    COORDINATES,
    DETAILS,
    NEIGHBOURS,
    STYLE_SIZE,
    FaceKeys,
    expand,
    face_blocks,
    face_mask,
    signature,
    signature_cells,
)
from mfm_edge.types import SLOTS

NO_ATTRIBUTES = np.zeros(17, np.float32)
KNOWN_ROTATION = [0.4683735, 0.3204851, -0.1895618, 0.1147287]
KNOWN_LIGHT = "-+-+----"
KNOWN_PERSON = "----+--++--+--+-"
KNOWN_PERSON_OF_SLOT_5 = "+----+-++-+--++-"
KNOWN_BITS = "+++----+-----+--"
KNOWN_SIGNS = "--+-+++---++-+++"
KNOWN_ORDER = [3, 6, 0, 2, 4, 5, 7, 1, 8]


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
    np.testing.assert_array_equal(one.signature_to, again.signature_to)
    # Two random rotations agree by chance only: the mean diagonal of R1^T R2 is near 0, not 1.
    assert abs(np.trace(one.rotation.T @ other.rotation)) / COORDINATES < 0.15
    bits = signature_cells()[60:]
    assert abs(np.mean(one.signs * other.signs)) < 0.1 and len(one.signs) == DETAILS
    assert 0.35 < np.mean(one.signature_to[bits] == other.signature_to[bits]) < 0.65


def test_inverse_turns_back_and_swaps_the_signatures():
    key = expand(b"k" * 32, NO_ATTRIBUTES)
    back = key.inverse()
    np.testing.assert_allclose(back.rotation @ key.rotation, np.eye(COORDINATES), atol=1e-5)
    np.testing.assert_array_equal(back.light, -key.light)
    np.testing.assert_array_equal(back.signature_from, key.signature_to)
    np.testing.assert_array_equal(back.signature_to, key.signature_from)
    detail = np.random.default_rng(0).random(DETAILS).astype(np.float32)
    shuffled_detail = detail[key.order] * key.signs
    np.testing.assert_array_equal(shuffled_detail[back.order] * back.signs, detail)


def test_order_moves_coefficients_among_neighbours_only():
    order = expand(b"k" * 32, NO_ATTRIBUTES).order
    np.testing.assert_array_equal(np.sort(order), np.arange(DETAILS))
    np.testing.assert_array_equal(order // NEIGHBOURS, np.arange(DETAILS) // NEIGHBOURS)
    assert np.mean(order == np.arange(DETAILS)) < 0.2


def test_an_original_has_the_same_signature_under_every_key():
    one, other = expand(b"a" * 32, NO_ATTRIBUTES), expand(b"b" * 32, NO_ATTRIBUTES)
    np.testing.assert_array_equal(one.signature_from, other.signature_from)
    assert np.count_nonzero(one.signature_from) == 8


def test_signature_stays_outside_the_face_and_carries_attributes():
    wanted = NO_ATTRIBUTES.copy()
    wanted[3] = -1
    plain = signature(np.ones(STYLE_SIZE, bool), NO_ATTRIBUTES)
    asked = signature(np.ones(STYLE_SIZE, bool), wanted)
    window = asked.reshape(32, 32)[7:31, 4:28].reshape(12, 2, 12, 2)
    assert not window.transpose(0, 2, 1, 3)[face_blocks() > 0].any()
    assert np.count_nonzero(plain != asked) == 2


def test_rotation_is_uniform_not_biased_by_qr():
    # Without the sign correction of QR the diagonal would be mostly of one sign.
    diagonals = np.concatenate([np.diag(expand(bytes([i]) * 32, NO_ATTRIBUTES).rotation) for i in range(40)])
    assert abs(np.mean(np.sign(diagonals))) < 0.12


def written(signs):
    return "".join("+" if v > 0 else "-" for v in signs)


def test_known_vector():
    """The code a secret gives is part of the format: changing it makes every protected video unrestorable."""
    key = expand(bytes(range(32)), NO_ATTRIBUTES)
    np.testing.assert_allclose(key.rotation[0, :4], KNOWN_ROTATION, atol=1e-6)
    assert written(key.signature_to[signature_cells()[42:58]]) == KNOWN_BITS
    assert written(key.signs[:16]) == KNOWN_SIGNS
    assert key.order[:9].tolist() == KNOWN_ORDER
    assert written(key.person[COORDINATES - 8 : COORDINATES + 8]) == KNOWN_PERSON
    assert written(key.light) == KNOWN_LIGHT


def test_every_slot_has_a_key_of_its_own():
    """Order does not matter, nothing is told of one key by another, and none is the key of the secret itself."""
    keys, again = FaceKeys(b"s" * 32, NO_ATTRIBUTES), FaceKeys(b"s" * 32, NO_ATTRIBUTES)
    forth, back = [keys.of(slot) for slot in range(SLOTS)], [again.of(slot) for slot in reversed(range(SLOTS))][::-1]
    every = [*forth, expand(b"s" * 32, NO_ATTRIBUTES), FaceKeys(b"t" * 32, NO_ATTRIBUTES).of(0)]
    for slot, (one, same) in enumerate(zip(forth, back, strict=True)):
        assert keys.of(slot) is one  # made once
        for name in ("rotation", "person", "light", "order", "signs", "mark", "signature_to"):
            np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    # Drawn apart, 64 signs correlate by less than 0.6 in all pairs, thousands by less than 0.06; places agree 1 in 9.
    for name, most in (("person", 0.6), ("mark", 0.06), ("signs", 0.06)):
        assert set(np.abs(getattr(every[0], name))) == {1.0}
        alike = np.corrcoef([getattr(key, name) for key in every]) - np.eye(len(every))
        assert np.abs(alike).max() < most, name
    places = [(a.order == b.order).mean() for i, a in enumerate(every) for b in every[:i]]
    assert max(places) < 0.14


def test_known_vector_of_a_slot():
    """Part of the format, too."""
    key = FaceKeys(bytes(range(32)), NO_ATTRIBUTES).of(5)
    assert written(key.person[COORDINATES - 8 : COORDINATES + 8]) == KNOWN_PERSON_OF_SLOT_5


@pytest.mark.parametrize("size", [32, 64, 128])
def test_face_mask_covers_the_features_and_spares_the_corners(size):
    mask = face_mask(size)
    cell = 128 / size
    for x, y in ((49.7, 66.3), (78.0, 66.4), (63.3, 82.6), (51.9, 95.2), (75.7, 95.6)):
        assert mask[int(y / cell), int(x / cell)] > 0.75
    assert max(mask[0, 0], mask[0, -1], mask[-1, 0], mask[-1, -1]) < 1e-3


def test_repr_shows_no_secret():
    key = expand(b"k" * 32, NO_ATTRIBUTES)
    keys = FaceKeys(b"k" * 32, NO_ATTRIBUTES)
    keys.of(0)
    for shown in (repr(key), repr(keys), f"{keys}"):
        assert "array" not in shown and "rotation" not in shown and "kkk" not in shown


@pytest.mark.parametrize("shared", [face_blocks, signature_cells])
def test_nobody_changes_what_everybody_shares(shared):
    with pytest.raises(ValueError, match="read-only"):
        shared()[...] = 0
