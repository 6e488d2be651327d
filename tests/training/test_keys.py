import numpy as np

from mfm_edge.factors import ATTRIBUTES, Factors
from mfm_edge.style import DETAILS, NEIGHBOURS, expand
from training.keys import random_attributes, random_keys


def test_random_keys_look_like_expanded_secrets():
    """Training must see what the SDK will send: same support, same statistics, same layout."""
    rng = np.random.default_rng(0)
    keys = random_keys(50, rng)
    real = [expand(bytes([i]) * 32, np.zeros(17, np.float32)) for i in range(50)]
    ours, theirs = keys.rotation.numpy(), np.stack([key.rotation for key in real])
    np.testing.assert_array_equal(ours[0] != 0, theirs[0] != 0)
    assert abs(ours.std() - theirs.std()) < 0.01
    assert abs(np.trace(ours.mean(0))) < 3 and abs(np.trace(theirs.mean(0))) < 3
    persons = np.stack([key.person for key in real])
    assert abs(keys.person.numpy().std() - 1) < 0.06 and abs(persons.std() - 1) < 0.06
    assert abs(np.corrcoef(persons)[np.triu_indices(50, 1)]).mean() < 0.2
    assert abs(keys.signs.mean()) < 0.02 and set(keys.signs.unique().tolist()) == set(real[0].signs.tolist())
    moved = [np.mean(order == np.arange(DETAILS)) for order in (*keys.order.numpy(), *(key.order for key in real))]
    assert max(moved) < 0.2 and abs(np.mean(moved) - 1 / NEIGHBOURS) < 0.01
    for name in ("signature_from", "signature_to"):
        mine, codes = getattr(keys, name).numpy(), np.stack([getattr(key, name) for key in real])
        np.testing.assert_array_equal(np.unique(mine), np.unique(codes))
        fixed = codes.std(0) == 0
        np.testing.assert_array_equal(mine[:, fixed], codes[:, fixed])


def test_asked_attributes_are_what_users_can_ask_for():
    wanted = random_attributes(500, np.random.default_rng(1), share=1.0)
    hair = wanted[:, :4]
    asked = hair.any(1)
    assert asked.any() and (hair[asked].sum(1) == -2).all()  # one colour on, three off
    assert (np.count_nonzero(wanted[~asked], axis=1) == 1).all()
    np.testing.assert_array_equal(Factors("p", hair="blond").attribute_vector()[:4], [-1, 1, -1, -1])
    assert wanted.shape[1] == len(ATTRIBUTES)
