"""Attackers who work out the key itself, from what the network puts into surrogates.

They take the network apart: what it did not expect of a face is a row of components, which a key moves among their
neighbours and multiplies by signs, the same for all faces in a slot of a stream. A surrogate adds a mark under signs of
its own. So surrogates in one slot tell the mark by their mean, without any password, and so does climbing towards it in
a single one, and nothing else of the key; but whoever knows the originals of some faces in a slot can look up what went
where. Other slots of that stream have other keys.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks.attacks.counts import Row
from benchmarks.attacks.setting import Photos, Setting, salt_of
from mfm_edge.factors import Factors
from mfm_edge.style import NEIGHBOURS, StyleKey
from training.data import to_tensor
from training.experiments.subject import key_of
from training.keys import random_keys
from training.networks import Modifier
from training.state import STATE, unpack
from training.style_space import StyleSpace

__all__ = ["recovered"]

FloatArray = NDArray[np.float32]

_MARKS = (1, 4, 16)  # surrogates in one slot whose marks are read
_KNOWN = (1, 4, 16)  # faces in one slot whose originals are known
_BATCH = 8


class Insider:
    """The network's own arithmetic, as anybody has it."""

    def __init__(self, network: Modifier) -> None:
        self._network = network.eval()
        self._bands = self._network.decoder.bands
        ones = torch.ones(1, sum(self._bands.sizes))
        mark = network.decoder.mark
        marks = [mark.added(portion, ones).expand(1, self._bands.sizes[portion]) for portion in self._portions]
        self.strength: FloatArray = torch.cat(marks, 1).numpy()[0]
        """(K,): how much a surrogate adds to each component or takes from it, as its mark."""

    @classmethod
    def with_packed_state(cls) -> Insider:
        """The network as it comes with the project for training on, in half precision: near enough."""
        networks, phase1 = unpack(STATE)
        network = Modifier(StyleSpace.load(phase1))
        network.load_state_dict(networks["modifier"])
        return cls(network)

    @property
    def _portions(self) -> range:
        return range(len(self._bands.sizes))

    @torch.no_grad()
    def see(self, photos: Photos, *, surrogates: bool) -> FloatArray:
        """N photos -> (N, K): what the network did not expect of them, in components as a key finds them.

        Read under keys of the attacker's own, which the network has not applied yet at that place. Signatures and
        attributes of surrogates are not known to him.
        """
        found = []
        for start in range(0, len(photos), _BATCH):
            some = photos[start : start + _BATCH]
            keys = random_keys(len(some), np.random.default_rng(start))
            seen: dict[int, torch.Tensor] = {}
            self._listen(seen)
            places = torch.from_numpy(np.array(some.landmarks))
            self._network(to_tensor(some.crops), places, *(keys.inverse() if surrogates else keys).inputs())
            found.append(torch.cat([seen[portion] for portion in self._portions], 1))
        return torch.cat(found).numpy()

    def _listen(self, seen: dict[int, torch.Tensor]) -> None:
        """Keep the last components of each portion, before a key is applied to them."""
        bands = self._bands

        def components(portion: int, hidden: torch.Tensor) -> torch.Tensor:
            seen[portion] = type(bands).components(bands, portion, hidden)
            return seen[portion]

        bands.components = components


def recovered(setting: Setting) -> list[Row]:
    """One slot of a stream shows everybody; half of the people are what the attacker learns from, the others are to be
    restored, as they are shown there and as another slot of that stream would show them."""
    half = len(setting.first) // 2
    factors, salt = Factors("correct horse", smiling=True), salt_of(8000)
    key, elsewhere = (key_of(factors, salt, slot=slot) for slot in (0, 1))
    guess = key_of(Factors("anything"), salt)  # what of a key is not worked out stays a wrong guess
    y = setting.modify(setting.first, [key] * len(setting.first))
    victims, originals = y[half:], setting.first[half:]
    others = setting.modify(originals, [elsewhere] * len(originals))
    insider = Insider.with_packed_state()
    seen, known = insider.see(y[:half], surrogates=True), insider.see(setting.first[:half], surrogates=False)

    def restored(name: str, found: StyleKey, surrogates: Photos = victims) -> list[Row]:
        return setting.matched(name, setting.modify(surrogates, [found.inverse()] * len(surrogates)), originals)

    def worked_out(name: str, found: StyleKey, of: StyleKey) -> Row:
        used = slice(len(insider.strength))
        right = ((found.order == of.order) & (found.signs == of.signs))[used]
        return Row(name, "none", int(right.sum()), len(right))

    rows = restored("wrong factors (to compare)", guess)
    for count in (n for n in _MARKS if n <= half):
        mark = read_mark(seen[:count], insider.strength, guess)
        name = f"marks of {count} surrogates of a slot"
        marked = np.flatnonzero(insider.strength)
        rows.append(Row(f"{name}: mark read right", "none", int((mark == key.mark)[marked].sum()), len(marked)))
        rows.append(Row(f"{name}: taken for signs, right", "none", int((mark == key.signs)[marked].sum()), len(marked)))
        rows += restored(f"{name}: restored with this mark", replace(guess, mark=mark))
    for count in (n for n in _KNOWN if n <= half):
        found = key_from_pairs(known[:count], seen[:count], insider.strength, guess)
        name = f"{count} known faces of a slot"
        rows.append(worked_out(f"{name}: places and signs worked out", found, key))
        rows += restored(f"{name}: others in that slot restored", found)
        rows.append(worked_out(f"{name}: places and signs that another slot has, too", found, elsewhere))
        rows += restored(f"{name}: others in another slot restored", found, others)
    return rows


def read_mark(components: FloatArray, strength: FloatArray, guess: StyleKey) -> FloatArray:
    """The mark (DETAILS,) that is as strong as it can be in these surrogates' components (N, K). Each place decides
    about a term of its own, so that climbing place by place ends here; where no mark is added the guess stays."""
    marked = np.flatnonzero(strength)
    mean = np.clip(components[:, marked] / strength[marked], -2, 2).mean(0)
    mark = guess.mark.copy()
    mark[marked] = np.where(mean < 0, -1, 1)
    return mark


def key_from_pairs(known: FloatArray, seen: FloatArray, strength: FloatArray, guess: StyleKey) -> StyleKey:
    """The guess, with mark, order and signs as originals and surrogates of the same faces tell them, (N, K) each."""
    mark = read_mark(seen, strength, guess)
    before = known.reshape(len(known), -1, NEIGHBOURS)
    after = (seen - strength * mark[: len(strength)]).reshape(before.shape)
    order, signs = guess.order.copy(), guess.signs.copy()
    for group in range(before.shape[1]):
        agree = after[:, group].T @ before[:, group]  # (to, from)
        sizes = np.square(after[:, group]).sum(0)[:, None] + np.square(before[:, group]).sum(0)
        to, source = linear_sum_assignment(sizes - 2 * np.abs(agree))
        order[group * NEIGHBOURS + to] = group * NEIGHBOURS + source
        signs[group * NEIGHBOURS + to] = np.where(agree[to, source] < 0, -1, 1)
    return replace(guess, order=order, signs=signs, mark=mark)
