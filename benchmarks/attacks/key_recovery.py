"""Attackers who work out the key itself, from what the network puts into surrogates.

They take the network apart: what it did not expect of a face is a row of components, which a key moves among their
neighbours and multiplies by signs, the same for all faces of a stream. A surrogate adds a mark under these signs. So
surrogates of one stream tell the signs by their mean, without any password, and so does climbing towards the mark in a
single one; and whoever knows the original of one face of a stream can look up what went where.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks.attacks.counts import Row
from benchmarks.attacks.setting import Photos, Setting, key_of, modify, salt_of
from mfm_edge.factors import Factors
from mfm_edge.style import NEIGHBOURS, StyleKey
from training.data import to_tensor
from training.keys import random_keys
from training.networks import Modifier
from training.state import STATE, unpack
from training.style_space import StyleSpace

__all__ = ["recovered"]

FloatArray = NDArray[np.float32]

_MARKS = (1, 4, 16)  # surrogates of one stream whose marks are read
_KNOWN = (1, 4, 16)  # faces of one stream whose originals are known
_BATCH = 8


class Insider:
    """The network's own arithmetic, as anybody has it."""

    def __init__(self, network: Modifier) -> None:
        self._network = network.eval()
        self._bands = self._network.decoder.bands
        marks = [self._bands.mark(portion, torch.ones(1, sum(self._bands.sizes))) for portion in self._portions]
        self.mark: FloatArray = torch.cat(marks, 1).numpy()[0]
        """(K,): what a surrogate adds to each component, before signs."""

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
        """Keep what the step that applies a key is called with, last, of each portion."""
        bands = self._bands

        def shuffle(portion: int, hidden: torch.Tensor, *key: torch.Tensor) -> torch.Tensor:
            n, size = len(hidden), sum(bands.sizes)
            straight = torch.arange(size).expand(n, -1), torch.ones(n, size)
            seen[portion] = type(bands).shuffle(bands, portion, hidden, *straight)
            return type(bands).shuffle(bands, portion, hidden, *key)

        bands.shuffle = shuffle


def recovered(setting: Setting) -> list[Row]:
    """One stream shows everybody under one key; half of the people are what the attacker learns from, the others are to
    be restored."""
    half = len(setting.first) // 2
    key = key_of(Factors("correct horse", smiling=True), salt_of(8000))
    guess = key_of(Factors("anything"), salt_of(8000))  # what of a key is not worked out stays a wrong guess
    y = modify(setting.engine, setting.first, [key] * len(setting.first))
    victims, originals = y[half:], setting.first[half:]
    insider = Insider.with_packed_state()
    seen, known = insider.see(y[:half], surrogates=True), insider.see(setting.first[:half], surrogates=False)

    def restored(name: str, found: StyleKey) -> list[Row]:
        return setting.matched(name, modify(setting.engine, victims, [found.inverse()] * len(victims)), originals)

    rows = restored("wrong factors (to compare)", guess)
    for count in (n for n in _MARKS if n <= half):
        signs = signs_from_marks(seen[:count], insider.mark, guess)
        name = f"marks of {count} surrogates of the stream"
        marked = np.flatnonzero(insider.mark)
        rows.append(Row(f"{name}: signs read right", "none", int((signs == key.signs)[marked].sum()), len(marked)))
        rows += restored(f"{name}: restored with these signs", replace(guess, signs=signs))
        rows += restored(f"{name}: the same, all but the signs known", replace(key, signs=signs))
    for count in (n for n in _KNOWN if n <= half):
        found = key_from_pairs(known[:count], seen[:count], insider.mark, guess)
        name = f"{count} known faces of the stream"
        right = ((found.order == key.order) & (found.signs == key.signs))[
            : len(insider.mark)
        ]  # beyond, nothing is used
        rows.append(Row(f"{name}: places and signs worked out", "none", int(right.sum()), len(right)))
        rows += restored(f"{name}: others restored", found)
    return rows


def signs_from_marks(components: FloatArray, mark: FloatArray, guess: StyleKey) -> FloatArray:
    """Signs (K,) that make the mark in these surrogates' components as strong as it can be. Each sign decides about a
    term of its own, so that climbing sign by sign ends here; where there is no mark the guess stays."""
    marked = np.flatnonzero(mark)
    mean = np.clip(components[:, marked] / mark[marked], -2, 2).mean(0)
    signs = guess.signs.copy()
    signs[marked] = np.where(mean < 0, -1, 1)
    return signs


def key_from_pairs(known: FloatArray, seen: FloatArray, mark: FloatArray, guess: StyleKey) -> StyleKey:
    """The guess, with order and signs as originals and surrogates of the same faces tell them, (N, K) each."""
    before = (known + mark).reshape(len(known), -1, NEIGHBOURS)
    after = seen.reshape(before.shape)
    order, signs = guess.order.copy(), guess.signs.copy()
    for group in range(before.shape[1]):
        agree = after[:, group].T @ before[:, group]  # (to, from)
        sizes = np.square(after[:, group]).sum(0)[:, None] + np.square(before[:, group]).sum(0)
        to, source = linear_sum_assignment(sizes - 2 * np.abs(agree))
        order[group * NEIGHBOURS + to] = group * NEIGHBOURS + source
        signs[group * NEIGHBOURS + to] = np.where(agree[to, source] < 0, -1, 1)
    return replace(guess, order=order, signs=signs)
