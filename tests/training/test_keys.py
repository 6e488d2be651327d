import numpy as np

from mfm_edge.factors import ATTRIBUTES, Factors
from mfm_edge.style import expand
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
    codes = np.stack([key.signature for key in real])
    np.testing.assert_array_equal(np.unique(keys.anonymise.numpy()), np.unique(codes))
    fixed = codes.std(0) == 0
    np.testing.assert_array_equal(keys.anonymise.numpy()[:, fixed], codes[:, fixed])
    back = np.stack([key.inverse().signature for key in real])
    np.testing.assert_array_equal(keys.restore.numpy()[:, fixed], back[:, fixed])


def test_asked_attributes_are_what_users_can_ask_for():
    wanted = random_attributes(500, np.random.default_rng(1), share=1.0)
    hair = wanted[:, :4]
    asked = hair.any(1)
    assert asked.any() and (hair[asked].sum(1) == -2).all()  # one colour on, three off
    assert (np.count_nonzero(wanted[~asked], axis=1) == 1).all()
    np.testing.assert_array_equal(Factors("p", hair="blond").attribute_vector()[:4], [-1, 1, -1, -1])
    assert wanted.shape[1] == len(ATTRIBUTES)
