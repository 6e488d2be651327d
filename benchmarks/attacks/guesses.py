"""Wrong guesses of every kind: of the factors, and of the code that they become."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from mfm_edge.factors import Factors
from mfm_edge.style import FaceKeys, StyleKey
from training.experiments.subject import face_keys, key_of

__all__ = ["CODES", "FACTORS", "Guess", "Secret"]

_LETTERS = string.ascii_lowercase + string.digits
_HAIR = ("black", "blond", "brown", "gray")


@dataclass(frozen=True, slots=True)
class Secret:
    """What somebody protected a face with, and the slot of its key, which a sidecar tells everybody."""

    factors: Factors
    salt: bytes
    keys: FaceKeys
    slot: int = 0

    @property
    def key(self) -> StyleKey:
        return self.keys.of(self.slot)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Secret:
        """A password of 12 letters, hair and a smile, under a salt of its own."""
        factors = Factors(_password(rng), hair=str(rng.choice(_HAIR)), smiling=bool(rng.integers(2)))  # type: ignore[arg-type]
        salt = rng.bytes(16)
        return cls(factors, salt, face_keys(factors, salt))


Guess = Callable[[Secret, np.random.Generator], StyleKey]
"""The key that an attacker tries instead of a secret's own."""


def _factors(change: Callable[[Factors, np.random.Generator], Factors]) -> Guess:
    return lambda secret, rng: key_of(change(secret.factors, rng), secret.salt, slot=secret.slot)


FACTORS: dict[str, Guess] = {
    "random password, no attribute": _factors(lambda right, rng: Factors(_password(rng))),
    "random password, right attributes": _factors(lambda right, rng: replace(right, password=_password(rng))),
    "password one character off": _factors(lambda right, rng: replace(right, password=_one_off(right.password, rng))),
    "one attribute off": _factors(lambda right, rng: replace(right, smiling=not right.smiling)),
    "one attribute more": _factors(lambda right, rng: replace(right, big_nose=bool(rng.integers(2)))),
    "right password, no attribute": _factors(lambda right, rng: Factors(right.password)),
}
"""Of the factors. Nobody comes near by guessing them: every bit of the code depends on every bit of all of them."""


def _one_off(password: str, rng: np.random.Generator) -> str:
    at = int(rng.integers(len(password)))
    other = str(rng.choice([letter for letter in _LETTERS if letter != password[at]]))
    return password[:at] + other + password[at + 1 :]


def _password(rng: np.random.Generator) -> str:
    return "".join(rng.choice(list(_LETTERS), 12))


def _other(secret: Secret, rng: np.random.Generator) -> StyleKey:
    return key_of(replace(secret.factors, password=_password(rng)), secret.salt, slot=secret.slot)


def _towards(distance: int) -> Guess:
    """The right code with so many of its bits as in another."""

    def guess(secret: Secret, rng: np.random.Generator) -> StyleKey:
        key, other = secret.key, _other(secret, rng)
        mixed = {name: getattr(key, name).copy() for name in _bits(key, other)}
        places = [(name, at) for name, array in mixed.items() for at in np.flatnonzero(array != getattr(other, name))]
        for index in rng.choice(len(places), distance, replace=False):
            name, at = places[index]
            mixed[name][at] = getattr(other, name)[at]
        return replace(key, **mixed)

    return guess


def _bits(key: StyleKey, other: StyleKey) -> list[str]:
    """Parts of a code that differ in signs alone."""
    names = [field.name for field in fields(key)]
    return [name for name in names if np.array_equal(np.abs(getattr(key, name)), np.abs(getattr(other, name)))]


def _mixed(names: tuple[str, ...]) -> Guess:
    """The right code with these parts from another."""

    def guess(secret: Secret, rng: np.random.Generator) -> StyleKey:
        other = _other(secret, rng)
        return replace(secret.key, **{name: getattr(other, name) for name in names})

    return guess


_PARTS = tuple(field.name for field in fields(StyleKey) if field.name != "signature_from")  # every original has that

CODES: dict[str, Guess] = {
    **{f"code at a distance of {2**power} bits": _towards(2**power) for power in range(13)},
    **{f"code with another {part}, the rest right": _mixed((part,)) for part in _PARTS},
    **{f"code with the right {part} alone": _mixed(tuple(p for p in _PARTS if p != part)) for part in _PARTS},
}
"""Of the code, right but for a part: how near must somebody come who learns about it otherwise than by guessing?"""
