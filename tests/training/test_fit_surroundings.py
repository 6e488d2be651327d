"""How keys imagine what surrounds a face: as people in like pictures differ, each sign otherwise than the others."""

import numpy as np

from mfm_edge.style import SURROUNDINGS
from training.data import FaceSet
from training.fit_person import contexts
from training.fit_surroundings import FAR, fit_surroundings
from training.person import CONTEXT, LIGHT, PLACES


def test_surroundings_differ_in_light_and_colour_and_no_landmark_moves(space):
    assert space.surroundings.shape == (SURROUNDINGS, CONTEXT)
    assert not space.surroundings[:, PLACES:].any()
    assert np.abs(space.surroundings[:, :LIGHT]).max() > 0.01 < np.abs(space.surroundings[:, LIGHT:PLACES]).max()


def test_each_sign_is_a_change_of_its_own_the_strongest_first(space):
    products = space.surroundings @ space.surroundings.T
    size = np.sqrt(products.diagonal())
    np.testing.assert_allclose(products / size / size[:, None], np.eye(SURROUNDINGS), atol=1e-3)
    assert (np.diff(size) <= 1e-6).all()


def test_a_key_goes_so_much_further_than_like_people_differ(space, faces):
    """Twins in one and the same picture, but for a brighter wall behind one of them, half of the time."""
    rng = np.random.default_rng(3)
    crops = np.repeat(faces.crops[:1], 400, 0)
    brighter = rng.random(400) < 0.5
    crops[brighter, 48:64, 16:24] = np.minimum(crops[brighter, 48:64, 16:24].astype(int) + 60, 255)
    alone = FaceSet(
        crops, np.arange(400), np.repeat(faces.attributes[:1], 400, 0), np.repeat(faces.landmarks[:1], 400, 0)
    )
    found = fit_surroundings(space, alone).surroundings
    size = np.linalg.norm(found, axis=1)
    assert size[0] > 100 * size[1]
    (plain,), (lit,) = (contexts_of(space, alone.take(np.flatnonzero(rows)[:1])) for rows in (~brighter, brighter))
    # Where it goes to: FAR times the difference, of pairs half of which do not differ.
    np.testing.assert_allclose(np.abs(found[0]), FAR * np.sqrt(0.5) * np.abs(lit - plain), atol=0.15 * size[0])


def contexts_of(space, faces):
    known = contexts(space, faces)[0].numpy()
    known[:, PLACES:] = 0
    return known
