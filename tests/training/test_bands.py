"""The split into what stays, coordinates and hidden part is linear, complete and exactly undone."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from mfm_edge.style import DETAILS, NEIGHBOURS
from training.bands import GRAIN, Bands
from training.keys import random_keys
from training.style_space import luminance, window
from training.tone import tone, untone


@pytest.fixture(scope="module")
def bands(space) -> Bands:
    return Bands(space)


@pytest.fixture
def hidden(bands) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [0.1 * torch.randn(6, size) for size in bands.sizes[:GRAIN]]


def test_the_hidden_part_fits_the_key(bands):
    assert not any(size % NEIGHBOURS for size in bands.sizes)
    assert 1500 < sum(bands.sizes) <= DETAILS


def test_coefficients_and_grids_are_inverse(bands):
    light, colour = torch.randn(3, 1, 48, 48), torch.randn(3, 2, 24, 24)
    again = bands.cells(*bands.coefficients(light, colour))
    torch.testing.assert_close(again, (light, colour), atol=1e-5, rtol=0)


def test_hidden_part_reads_back_from_where_it_is_shown(bands, hidden):
    torch.testing.assert_close(bands.hidden(*bands.show(hidden)), hidden, atol=1e-4, rtol=0)
    light, colour = bands.stays(*bands.show(hidden))
    assert light.abs().max() < 1e-4 and colour.abs().max() < 1e-4


def test_a_face_without_its_finest_detail(bands):
    """Means of 4 px cells of a smooth picture; and nothing of the finest wavelets."""
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.randn(2, 1, 6, 6), size=96, mode="bicubic")
    light, _ = bands.coefficients(torch.nn.functional.avg_pool2d(smooth, 2), torch.zeros(2, 2, 24, 24))
    found, expected = bands.large_cells(light), torch.nn.functional.avg_pool2d(smooth, 4)
    inner = (slice(None), slice(None), slice(3, -3), slice(3, -3))  # the wavelets are periodic
    assert np.corrcoef(found[inner].flatten(), expected[inner].flatten())[0, 1] > 0.98
    light[:, :, 24:] = light[:, :, :, 24:] = 9
    torch.testing.assert_close(bands.large_cells(light), found, atol=0, rtol=0)
    again = bands.from_large_cells(found)
    torch.testing.assert_close(bands.large_cells(again), found, atol=1e-5, rtol=0)
    assert not again[:, :, 24:].any() and not again[:, :, :, 24:].any()


def test_the_window_changes_by_what_was_asked_for(bands, hidden):
    light, colour = bands.show(hidden)
    crop = torch.zeros(6, 3, 128, 128)
    window(crop).copy_(untone(bands.to_window(light, colour)))
    found = bands.split(crop)
    torch.testing.assert_close(found, (light, colour), atol=1e-4, rtol=0)


def test_grain_reads_back_and_is_all_that_changes(bands):
    torch.manual_seed(0)
    crop = torch.nn.functional.interpolate(torch.rand(2, 3, 64, 64) - 0.5, size=128, mode="bicubic")
    before, change = bands.grain(crop), 0.1 * torch.randn(2, bands.sizes[GRAIN])
    was = bands.split(crop)
    inside = window(crop)
    inside.copy_(bands.untoned(bands.toned(inside) + bands.show_grain(change)))
    torch.testing.assert_close(bands.grain(crop) - before, change, atol=1e-4, rtol=0)
    torch.testing.assert_close(bands.split(crop), was, atol=1e-4, rtol=0)


def test_what_is_toned_comes_back_and_is_the_curve_where_it_is_split(bands):
    torch.manual_seed(0)
    inside = torch.cat([2 * torch.rand(2, 3, 96, 96) - 1, torch.rand(1, 3, 96, 96).round() * 2 - 1])
    toned = bands.toned(inside)
    torch.testing.assert_close(bands.untoned(toned), inside, atol=1e-5, rtol=0)
    torch.testing.assert_close(luminance(toned), luminance(tone(inside)), atol=1e-5, rtol=0)
    cells = torch.nn.functional.avg_pool2d
    torch.testing.assert_close(cells(toned, 4), cells(tone(inside), 4), atol=1e-5, rtol=0)
    assert bands.untoned(100 * torch.randn(1, 3, 96, 96)).abs().max() <= 1.2


def test_fine_detail_that_is_drawn_is_grey(bands, hidden):
    """On skin, whose red is bright and whose blue is dark, the curve alone would tint it."""
    skin = torch.tensor([0.8, 0.2, -0.1]).view(1, 3, 1, 1).expand(6, 3, 96, 96)
    nothing = [torch.zeros_like(part) for part in hidden]
    change = bands.to_window(*bands.show([nothing[0], 0.3 * hidden[1], nothing[2]]))

    def tint(face):
        change = face - skin
        fine = change - torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(change, 4), scale_factor=4)
        return (fine - luminance(fine)).square().mean().sqrt() / luminance(fine).square().mean().sqrt()

    assert tint(bands.untoned(bands.toned(skin) + change)) < 0.06 < 0.15 < tint(untone(tone(skin) + change))


def test_chequered_patches_are_faint_and_all_else_stays(bands):
    chequered = torch.ones(1, 1, 48, 48)
    chequered[:, :, ::2, 1::2] = chequered[:, :, 1::2, ::2] = -1
    nothing = torch.zeros(1, 2, 24, 24)

    def shown(cells, moderate):
        coarse, fine, colour = bands.hidden(*bands.coefficients(cells, nothing))
        fine = bands.moderate(fine, colour)[0] if moderate else fine
        return bands.cells(*bands.show([coarse, fine, colour]))[0]

    assert shown(chequered, moderate=False).abs()[:, :, 16:32, 16:32].mean() > 0.8
    assert shown(chequered, moderate=True).abs()[:, :, 16:32, 16:32].mean() < 0.2
    lines = chequered.abs()
    lines[:, :, ::2] = -1
    torch.testing.assert_close(shown(lines, moderate=True), shown(lines, moderate=False), atol=0.02, rtol=0)
    faint = 0.02 * chequered
    torch.testing.assert_close(shown(faint, moderate=True), shown(faint, moderate=False), atol=2e-3, rtol=0)


def test_colour_is_bounded_and_nearly_as_it_was_where_it_is_usual(bands, hidden):
    fine, colour = torch.zeros_like(hidden[1]), hidden[2] / hidden[2].abs().max() * bands.loudest_colour
    assert (bands.moderate(fine, 100 * colour)[1].abs() <= bands.loudest_colour).all()
    torch.testing.assert_close(bands.moderate(fine, 0.2 * colour)[1], 0.2 * colour, atol=0, rtol=0.02)


def test_a_face_keeps_no_detail_of_single_pixels(bands):
    """Where the face is, all that luminance has beyond the grid of 2 px cells is grain."""
    torch.manual_seed(0)
    crop = torch.zeros(1, 3, 128, 128)
    crop[:, :, 80:96, 56:72] = torch.rand(1, 1, 16, 16) - 0.5  # nose
    light = luminance(tone(window(crop)))
    cells = torch.nn.functional.avg_pool2d(light, 2)
    beyond = light - bands.light_up @ cells @ bands.light_up.T
    assert bands.grain(crop).square().sum() > 0.99 * beyond.square().sum() > 1


def test_colour_has_no_luminance(bands):
    change = bands.to_window(torch.zeros(2, 1, 48, 48), torch.randn(2, 2, 24, 24))
    assert change.abs().max() > 0.1 and luminance(change).abs().max() < 1e-5


def scramble(bands, portion, hidden, order, signs):
    return bands.unfold(portion, bands.shuffle(portion, bands.components(portion, hidden), order, signs))


def test_scrambling_is_undone_by_the_inverse_key_alone(bands, hidden):
    keys = random_keys(6, np.random.default_rng(0))
    back = keys.inverse()
    wrong = random_keys(6, np.random.default_rng(1)).inverse()
    for i, portion in enumerate([*hidden, 0.1 * torch.randn(6, bands.sizes[GRAIN])]):
        scrambled = scramble(bands, i, portion, keys.order, keys.signs)
        again = scramble(bands, i, scrambled, back.order, back.signs)
        torch.testing.assert_close(again, portion, atol=5e-4, rtol=0)
        torch.testing.assert_close(scrambled.norm(dim=1), portion.norm(dim=1), atol=5e-3, rtol=0)
        for guess in (scrambled, scramble(bands, i, scrambled, wrong.order, wrong.signs)):
            assert abs(np.corrcoef(guess.flatten(), portion.flatten())[0, 1]) < 0.1


def test_scrambled_detail_varies_as_the_faces_do(bands, faces):
    """The same variance everywhere and the same smoothness as before, which shuffled wavelets do not have."""
    x = torch.from_numpy(faces.crops).permute(0, 3, 1, 2).float() / 127.5 - 1
    hidden = [portion - portion.mean(0) for portion in bands.hidden(*bands.split(x))]
    keys = random_keys(len(x), np.random.default_rng(0))
    scrambled = [scramble(bands, i, portion, keys.order, keys.signs) for i, portion in enumerate(hidden)]
    before, after = (bands.cells(*bands.show(h))[0].std(0)[0].numpy() for h in (hidden, scrambled))
    assert structural_similarity(before, after, data_range=before.max()) > 0.9
