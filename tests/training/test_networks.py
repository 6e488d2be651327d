"""The modifier is exactly invertible, whatever its weights: restoring rests on this and on nothing that was learned."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mfm_edge.align import TEMPLATE
from mfm_edge.headroom import bend, stretch
from mfm_edge.style import COORDINATES, expand
from training.bands import GRAIN
from training.channel import quantise
from training.keys import Keys, random_keys
from training.networks import CALM, Modifier, read_back, repeat_add
from training.person import EMPHASIS, KEPT, LIGHT
from training.style_space import window
from training.tone import BRIGHTEST


@pytest.fixture
def network(space) -> Modifier:
    """Random weights, detail as strong as a trained network's, and no last touch."""
    torch.manual_seed(0)
    network = Modifier(space)
    with torch.no_grad():
        for last in (network.decoder.finish.light[-1], network.decoder.finish.colour):
            last.bias[-1] = -100
        network.decoder.refine[-1].weight.normal_(0, 0.3)
        network.decoder.identity.modulate.weight.normal_(0, 0.1)
        network.decoder.identity.widen.weight.normal_(0, 0.1)
        network.decoder.coarse[-1].weight.mul_(10)
        network.decoder.fine[-1].weight.mul_(10)
        network.decoder.colour[-1].weight.mul_(10)
    return network


@pytest.fixture
def x(faces) -> torch.Tensor:
    return torch.from_numpy(faces.crops[:6]).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture
def places(faces) -> torch.Tensor:
    """Landmarks of x, (6,5,2)."""
    return torch.from_numpy(faces.landmarks[:6])


@pytest.fixture
def keys(x) -> Keys:
    return random_keys(len(x), np.random.default_rng(0))


@torch.no_grad()
def test_the_right_key_turns_back_exactly(network, x, places, keys):
    y = network(x, places, *keys.inputs())
    assert window(y - x).abs().mean() > 0.03
    restored = network(y, places, *keys.inverse().inputs())
    assert (restored - x).abs().max() < 0.25 / 127.5  # the axes are in half precision


@torch.no_grad()
def test_rounding_to_uint8_costs_little(network, x, places, keys):
    x, keys = x * 0.4, replace(keys, person=keys.person * 0.3)  # nothing is clipped
    y = network(x, places, *keys.inputs())
    assert y.abs().max() < 1
    rounded = ((y + 1) * 127.5).round() / 127.5 - 1
    restored = network(rounded, places, *keys.inverse().inputs())
    assert 10 * torch.log10(4 / (restored - x).square().mean()) > 38


@torch.no_grad()
def test_what_would_be_clipped_comes_back(network, x, places, keys):
    def psnr() -> torch.Tensor:
        y = quantise(network(x, places, *keys.inputs()))
        restored = network(y, places, *keys.inverse().inputs())
        return 10 * torch.log10(4 / (restored - x).square().mean((1, 2, 3)))

    with_headroom = psnr()
    network.bend.zero_()
    assert (with_headroom > psnr() + 2).all()
    assert bend().any()  # which every network shares


@torch.no_grad()
@pytest.mark.parametrize("wrong", ["rotation", "person", "light", "order", "signs", "mark", "signature_to"])
def test_a_wrong_key_does_not(network, x, places, keys, wrong):
    """Every part of the key is needed: with the two others right, the original does not come back."""
    other = random_keys(len(x), np.random.default_rng(1))
    guess = Keys(**{name: getattr(other if name == wrong else keys, name) for name in Keys.__slots__})
    y = network(x, places, *keys.inputs())
    restored = network(y, places, *guess.inverse().inputs())
    assert (restored - x).abs().mean() > 100 * (network(y, places, *keys.inverse().inputs()) - x).abs().mean()


@torch.no_grad()
def test_a_wrong_key_shows_another_surrogate_and_no_noise(network, x, places, keys):
    """Detail that was unscrambled wrongly is neither amplified nor taken for the original's."""
    bands = network.decoder.bands
    y = network(x, places, *keys.inputs())
    w = network(y, places, *random_keys(len(x), np.random.default_rng(3)).inverse().inputs())
    for part in (bands.grain, lambda face: bands.hidden(*bands.split(face))[1]):
        ratio = part(w).square().mean(1).sqrt() / part(y).square().mean(1).sqrt()
        assert (ratio > 0.85 * CALM).all() and (ratio < 1.2).all()


@torch.no_grad()
def test_the_last_touch_is_given_to_restored_faces_alone(network, x, places, keys):
    """Nothing undoes it, so it must not reach a surrogate; and it leaves alone what the network may not draw."""
    y = network(x, places, *keys.inputs())
    restored = network(y, places, *keys.inverse().inputs())
    finish = network.decoder.finish
    finish.light[-1].weight.normal_(0, 0.3)
    finish.colour.weight.normal_(0, 0.1)
    for last in (finish.light[-1], finish.colour):
        last.bias.zero_()
    assert torch.equal(network(x, places, *keys.inputs()), y)
    touched = network(y, places, *keys.inverse().inputs())
    assert (touched - restored).abs().mean() > 1e-3
    encoder = network.style_encoder
    torch.testing.assert_close(encoder.coordinates(touched), encoder.coordinates(restored), atol=2e-3, rtol=0)
    seen = network.content_encoder.visible
    torch.testing.assert_close(seen(touched), seen(restored), atol=1e-3, rtol=0)


@torch.no_grad()
def test_what_is_drawn_stays_within_what_a_picture_can_show(network, x, places, keys):
    """However wild the network: a surrogate that is clipped cannot be restored."""
    keys = replace(keys, person=0.8 * keys.person)  # nobody who is clipped however the network draws
    clipped = (network(x, places, *keys.inputs()).abs() > 1).float().mean()
    for times in (4, 5):
        network.decoder.coarse[-1].weight.mul_(times)
        network.decoder.fine[-1].weight.mul_(times)
        wild = network(x, places, *keys.inputs())
        assert (wild.abs() > 1).float().mean() < 2 * clipped + 0.02
        if times == 4:  # much wilder still, what it draws drowns the mark of its own key
            assert (network(wild, places, *keys.inverse().inputs()) - x).abs().max() < 0.25 / 127.5


@torch.no_grad()
def test_what_a_key_scrambles_is_told_apart_from_what_is_drawn(network, x, places, keys):
    """Opposite signs make the opposite of it, and leave the coarse drawing alone."""
    styles = network.style_encoder(x, places, *keys.style_inputs())
    one = network.change(x, places, styles, (keys.order, keys.signs, keys.mark))
    bands = network.decoder.bands
    other = network.change(x, places, styles, (keys.order, -keys.signs, -keys.mark))
    laid_over = [bands.to_window(*bands.show(c.scrambled)) for c in (one, other)]
    assert laid_over[0].abs().mean() > 1e-3 and one.grain.abs().mean() > 1e-3
    torch.testing.assert_close(laid_over[1], -laid_over[0], atol=1e-4, rtol=0)
    drawn = [F.avg_pool2d(c.window - over - c.grain, 4) for c, over in zip((one, other), laid_over, strict=True)]
    apart = F.avg_pool2d(one.window - other.window, 4).abs().mean()
    assert (drawn[0] - drawn[1]).abs().mean() < 0.3 * apart


@torch.no_grad()
def test_the_encoder_sees_the_same_in_both_directions(network, x, places, keys):
    y = network(x, places, *keys.inputs())
    y = stretch(y, network.bend)
    one, two = network.content_encoder.visible(x), network.content_encoder.visible(y)
    torch.testing.assert_close(one, two, atol=1e-4, rtol=0)
    style_from, style_to, asked = network.style_encoder(x, places, *keys.style_inputs())
    styles = network.style_encoder(y, places, *keys.inverse().style_inputs())
    torch.testing.assert_close(styles[0], style_to, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(styles[1], style_from, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(styles[2], asked, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_what_the_network_draws_leaves_all_else_alone(network, x):
    """Whatever it draws, coordinates and what stays do not move: restoring reads both."""
    bands = network.decoder.bands
    hidden = [0.1 * torch.randn(6, size) for size in bands.sizes[:GRAIN]]
    other = network.decoder.draw(x, bands.to_window(*bands.show(hidden)))
    coordinates = network.style_encoder.coordinates
    torch.testing.assert_close(coordinates(other), coordinates(x), atol=1e-3, rtol=0)
    before, after = network.content_encoder.visible(x), network.content_encoder.visible(other)
    torch.testing.assert_close(before, after, atol=1e-4, rtol=0)
    was, now = (bands.hidden(*bands.split(picture)) for picture in (x, other))
    found = [after - before for before, after in zip(was, now, strict=True)]
    torch.testing.assert_close(found, hidden, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_surrogate_is_the_person_whom_the_key_asks_for(network, x, places, keys):
    """Much nearer to that person's coordinates than to the original's, and nearer than another key's surrogate."""
    coordinates = network.style_encoder.coordinates
    y = network(x, places, *keys.inputs())
    reader, style_to = network.style_encoder.reader, network.style_encoder(x, places, *keys.style_inputs())[2]
    asked = coarse_luminance_of(reader, style_to) @ network.style_encoder.person.analysis
    other = network(x, places, *random_keys(len(x), np.random.default_rng(5)).inputs())
    near = (coordinates(y) - asked).norm(dim=1)
    assert (near < 0.5 * (coordinates(x) - asked).norm(dim=1)).all()
    assert (near < 0.7 * (coordinates(other) - asked).norm(dim=1)).all()


def coarse_luminance_of(reader, style):
    return reader(style).flatten(1)


@torch.no_grad()
def test_with_a_wrong_key_comes_the_person_whom_that_key_asks_for(network, x, places, keys):
    encoder = network.style_encoder
    y = network(x, places, *keys.inputs())
    wrong = random_keys(len(x), np.random.default_rng(4)).inverse()
    asked = encoder(stretch(y, network.bend), places, *wrong.style_inputs())[2]
    found = encoder.coordinates(network(y, places, *wrong.inputs()))
    expected = coarse_luminance_of(encoder.reader, asked) @ encoder.person.analysis
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)


@torch.no_grad()
def test_a_surrogate_is_lit_as_the_key_says_and_a_wrong_key_leaves_that_light(network, x, places, keys):
    light = network.style_encoder.light
    y = network(x, places, *keys.inputs())
    lit = light(stretch(y, network.bend))
    torch.testing.assert_close(lit, network.style_encoder.relight(light(x), keys.light), atol=2e-3, rtol=0)
    assert (lit - light(x)).abs().mean() > 0.4
    wrong = network(y, places, *random_keys(len(x), np.random.default_rng(4)).inverse().inputs())
    torch.testing.assert_close(light(wrong), lit, atol=2e-3, rtol=0)


@torch.no_grad()
def test_light_moves_within_what_faces_have_and_back_again(network, keys):
    encoder = network.style_encoder
    width = encoder.brightest - encoder.darkest
    middle = (encoder.darkest + encoder.brightest) / 2
    lit = middle + width * torch.tensor([-3.0, -0.5, -0.499, -0.1, 0.0, 0.3, 0.4999, 0.6])[:, None]
    for change in (keys.light[:1], -keys.light[:1], 2 * torch.ones(1, len(width)), torch.zeros(1, len(width))):
        moved = encoder.relight(lit, change)
        torch.testing.assert_close(encoder.relight(moved, -change), lit, atol=1e-3, rtol=0)
        within = (lit > encoder.darkest) & (lit < encoder.brightest)
        assert (((moved > encoder.darkest) & (moved < encoder.brightest)) == within).all()
        assert torch.equal(moved[~within], lit[~within])
        torch.testing.assert_close(moved[4] - lit[4], change[0], atol=0.3, rtol=0)  # in the middle


@torch.no_grad()
def test_what_is_expected_of_the_original_does_not_depend_on_the_light_that_a_key_adds(network, x, places, keys):
    """It is the original's own that counts, in both directions."""
    encoder = network.style_encoder
    torch.nn.init.normal_(encoder.person.expect[-1].weight, std=0.1)  # it begins as knowing nothing
    y = stretch(network(x, places, *keys.inputs()), network.bend)
    known, again = (
        encoder.context(x, places, encoder.light(x)),
        encoder.context(y, places, encoder.relight(encoder.light(y), -keys.light)),
    )
    torch.testing.assert_close(encoder.person.expected(known), encoder.person.expected(again), atol=5e-3, rtol=0)
    told_by_the_surrogate = encoder.person.expected(encoder.context(y, places, encoder.light(y)))
    assert (told_by_the_surrogate - encoder.person.expected(known)).abs().mean() > 0.05


@torch.no_grad()
def test_a_real_person_can_be_asked_for(network, x, places, keys):
    """What `like` finds makes just that person, until the networks beside the linear part have learned otherwise."""
    encoder = network.style_encoder
    encoder.person.variety.mul_(2.4)  # so that some of these are near enough
    context, surroundings = encoder.context(x, places, encoder.light(x)), 0.5 * keys.person[:, COORDINATES:]
    fits = encoder.person.expected(context + surroundings @ encoder.person.surroundings)  # near enough to be shown
    nearer = torch.linspace(0.05, 1, len(x))[:, None]  # these are further apart than real people
    wanted = fits + nearer * (encoder.coordinates(x.roll(1, 0)) - fits)
    person = encoder.person.like(wanted, fits)
    asked = encoder.person(context, context, torch.cat([person, surroundings], 1), torch.zeros(len(x), 17))[1]
    within = person.square().mean(1).sqrt() < 1.99
    assert within.any() and not within.all()
    torch.testing.assert_close(asked[within], wanted[within], atol=1e-3, rtol=1e-3)
    assert ((asked - fits)[~within].norm(dim=1) < (wanted - fits)[~within].norm(dim=1)).all()


@torch.no_grad()
def test_a_key_asks_for_who_fits_into_the_surroundings_that_it_imagines(network, x, places, keys):
    """What is expected of the original knows nothing of that."""
    person, encoder = network.style_encoder.person, network.style_encoder
    torch.nn.init.normal_(person.expect[-1].weight, std=0.01)  # it begins as knowing nothing
    context, nothing = encoder.context(x, places, encoder.light(x)) * 0.2, torch.zeros(len(x), 17)
    elsewhere = 0.3 * keys.person
    elsewhere[:, :COORDINATES] = 0
    expected, asked = person(context, context, elsewhere, nothing)
    assert torch.equal(expected, person(context, context, 0 * elsewhere, nothing)[0])
    torch.testing.assert_close(asked, person.expected(context + elsewhere[:, COORDINATES:] @ person.surroundings))
    assert (asked - expected).abs().mean() > 0.05


@torch.no_grad()
def test_nobody_is_asked_for_who_is_too_bright_or_too_dark_for_a_picture(network, x, places, keys):
    """Nearly: coordinates are fewer than places. A face that fits is asked for as the key says."""
    person, space = network.style_encoder.person, network.style_encoder
    for light, key in ((1.0, 1.0), (4.0, 1.0), (1.0, 6.0)):
        context = space.context(x, places, space.light(x))
        context[:, :LIGHT] *= light
        asked = person(context, context, key * keys.person, torch.zeros(len(x), 17))[1]
        imagined = person.expected(person.imagined(context, key * keys.person))
        # The networks beside the linear part know nothing yet.
        wanted = imagined + key * keys.person[:, :COORDINATES] @ person.variety
        beyond = [
            ((context[:, :LIGHT] + coordinates @ person.synthesis).abs() - BRIGHTEST).clamp_min(0)
            for coordinates in (wanted, asked)
        ]
        fits = beyond[0].sum(1) == 0
        torch.testing.assert_close(asked[fits], wanted[fits])
        assert beyond[1].square().sum() <= beyond[0].square().sum()
        if key > 1:
            assert beyond[1].square().sum() < 0.7 * beyond[0].square().sum()


@torch.no_grad()
def test_attributes_are_those_asked_for_or_else_the_likely_ones_of_the_original(network, x, places):
    """In both codes, and just as in the codes that restore, although a surrogate comes in then."""
    asked = np.zeros((len(x), 17), np.float32)
    asked[0, 4], asked[1, 9] = 1, -1
    keys, encoder = random_keys(len(x), np.random.default_rng(6), attributes=asked), network.style_encoder
    torch.nn.init.normal_(encoder.person.guess[-1].weight, std=0.3)  # it begins as knowing nothing
    told = [encoder.reader.attributes(s) for s in encoder(x, places, *keys.style_inputs())]
    shown = encoder.context(x, places, encoder.relight(encoder.light(x), keys.light))
    likely = torch.tanh(encoder.person.likely(shown)) ** 3
    assert likely.std(0).min() > 1e-3
    likely[:, ~KEPT] = 0
    likely *= EMPHASIS
    torch.testing.assert_close(told[0], likely)
    wanted = torch.where(torch.from_numpy(asked) == 0, likely, EMPHASIS * torch.from_numpy(asked))
    torch.testing.assert_close(told[1], wanted)
    torch.testing.assert_close(told[2], wanted)
    y = stretch(network(x, places, *keys.inputs()), network.bend)
    again = [encoder.reader.attributes(s) for s in encoder(y, places, *keys.inverse().style_inputs())]
    torch.testing.assert_close(again[0], wanted, atol=2e-3, rtol=0)
    torch.testing.assert_close(again[1], likely, atol=2e-3, rtol=0)


@torch.no_grad()
def test_landmarks_show_where_they_are(network):
    places = torch.tensor(TEMPLATE, dtype=torch.float32)[None]
    spots = network.content_encoder.places(places)[0]
    for spot, (across, down) in zip(spots, TEMPLATE, strict=True):
        row, column = divmod(int(spot.argmax()), 24)
        assert abs(28 + 4 * row + 1.5 - down) <= 2 and abs(16 + 4 * column + 1.5 - across) <= 2


@torch.no_grad()
def test_style_code_reads_back_from_the_summed_latent(network, x, places):
    style = torch.randn(len(x), 1024).double()
    latent = repeat_add(network.content_encoder.double()(x.double(), places.double()), style)
    assert latent.shape == (len(x), 256, 32, 32)
    torch.testing.assert_close(read_back(latent), style, atol=1e-12, rtol=0)
    anything = torch.randn(3, 5, 32, 32)
    torch.testing.assert_close(read_back(anything), anything.mean(1).flatten(1))


@torch.no_grad()
def test_nothing_outside_the_window_changes(network, x, places):
    key = expand(b"k" * 32, np.zeros(17, np.float32))
    person = key.rotation, key.person, key.light
    parts = (*person, key.order, key.signs, key.mark, key.signature_from, key.signature_to)
    y = network(x, places, *(torch.from_numpy(part).expand(len(x), *part.shape) for part in parts))
    change = (y - x).abs()
    window(change).zero_()
    assert change.max() == 0
