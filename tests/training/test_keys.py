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
    lights = np.stack([key.light for key in real])
    assert lights.shape == keys.light.shape and persons.shape == keys.person.shape
    assert set(keys.light.unique().tolist()) == set(np.unique(lights)) == {-1, 1}
    assert abs(keys.light.mean()) < 0.2 and abs(lights.mean()) < 0.2
    assert abs(keys.signs.mean()) < 0.02 and set(keys.signs.unique().tolist()) == set(real[0].signs.tolist())
    moved = [np.mean(order == np.arange(DETAILS)) for order in (*keys.order.numpy(), *(key.order for key in real))]
    assert max(moved) < 0.2 and abs(np.mean(moved) - 1 / NEIGHBOURS) < 0.01
    for name in ("signature_from", "signature_to"):
        mine, codes = getattr(keys, name).numpy(), np.stack([getattr(key, name) for key in real])
        np.testing.assert_array_equal(np.unique(mine), np.unique(codes))
        fixed = codes.std(0) == 0
        np.testing.assert_array_equal(mine[:, fixed], codes[:, fixed])


def test_asked_attributes_are_what_users_can_ask_for_and_people_have():
    labels = np.random.default_rng(0).random((400, len(ATTRIBUTES))) < 0.4
    labels[:, 9] = labels[:, 4]  # the tenth goes with the fifth, in everybody
    wanted = random_attributes(3000, labels, np.random.default_rng(1), share=0.9, more=0.5)
    nothing = ~wanted.any(1)
    assert 0.07 < nothing.mean() < 0.13 and set(np.unique(wanted)) == {-1, 0, 1}
    hair = wanted[:, :4]
    asked = hair.any(1)
    assert asked.any() and (hair[asked].sum(1) == -2).all()  # one colour on, three off
    np.testing.assert_array_equal(Factors("p", hair="blond").attribute_vector()[:4], [-1, 1, -1, -1])
    both = (wanted[:, 4] != 0) & (wanted[:, 9] != 0)
    assert both.sum() > 100 and (wanted[both, 4] == wanted[both, 9]).all()
    alone = random_attributes(3000, labels, np.random.default_rng(1), share=1.0, more=0.0)
    counts = np.count_nonzero(alone[:, 4:], axis=1)
    assert set(counts.tolist()) == {0, 1} and (alone[counts == 1, 4:] > 0).any() and (alone < 0).any()


def test_what_nobody_has_can_be_asked_for():
    wanted = random_attributes(500, np.zeros((10, len(ATTRIBUTES)), bool), np.random.default_rng(1), more=0.5)
    assert (wanted[:, 5:] > 0).any() and not (wanted[(wanted[:, 5:] > 0).any(1), 5:] > 0).sum(1).max() > 1
