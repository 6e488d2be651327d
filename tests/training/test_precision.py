import copy

import numpy as np
import torch

from training.data import to_tensor
from training.discriminators import PatchDiscriminator
from training.keys import random_keys
from training.networks import Modifier
from training.precision import draw_in_bfloat16, judge_in_bfloat16


def test_layers_that_draw_compute_in_bfloat16_and_nothing_else_does(faces, space):
    torch.manual_seed(0)
    exact = Modifier(space)
    halved = copy.deepcopy(exact)
    draw_in_bfloat16(halved)
    x, places = to_tensor(faces.crops[:4]), torch.from_numpy(faces.landmarks[:4])
    keys = random_keys(4, np.random.default_rng(1))
    styles, codes = (net.style_encoder(x, places, *keys.style_inputs()) for net in (exact, halved))
    for one, other in zip(styles, codes, strict=True):
        assert torch.equal(one, other)
    y, z = (net(x, places, *keys.inputs()) for net in (exact, halved))
    assert z.dtype == torch.float32 and not torch.equal(y, z)
    assert (y - z).abs().mean() < 0.1 * (y - x).abs().mean()
    z.square().mean().backward()
    drawn = halved.decoder.coarse[-1].weight
    assert drawn.dtype == drawn.grad.dtype == torch.float32 and drawn.grad.abs().max() > 0
    assert exact.state_dict().keys() == halved.state_dict().keys()  # checkpoints are the same


def test_discriminators_give_float32_scores_near_the_exact_ones(faces):
    torch.manual_seed(0)
    patches = PatchDiscriminator().eval()
    x = to_tensor(faces.crops[:4])
    (scores,), logits = patches(x)
    judge_in_bfloat16(patches)
    (halved,), halved_logits = patches(x)
    for one, other in ((scores, halved), (logits, halved_logits)):
        assert other.dtype == torch.float32 and not torch.equal(one, other)
        torch.testing.assert_close(one, other, atol=0.02, rtol=0.1)
