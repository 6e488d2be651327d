"""Restoring with wrong factors or a wrong code: how often does the original come back?"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.attacks.setting import Crops, Row, Setting, key_of, modify, salt_of
from mfm_edge.factors import Factors
from mfm_edge.style import StyleKey

__all__ = ["guessed_codes", "guessed_factors"]

_GOAL = 0.001
_LETTERS = string.ascii_lowercase + string.digits


def guessed_factors(setting: Setting, pairs: int, rng: np.random.Generator) -> list[Row]:
    """`pairs` wrong guesses of each kind, each with a password, a salt and a face of its own."""
    kinds: dict[str, Callable[[Factors], Factors]] = {
        "right factors (to compare)": lambda right: right,
        "random password, no attribute": lambda right: Factors(_password(rng)),
        "random password, right attributes": lambda right: replace_factors(right, password=_password(rng)),
        "password one character off": lambda right: replace_factors(right, password=_one_off(right.password, rng)),
        "one attribute off": lambda right: replace_factors(right, smiling=not right.smiling),
        "one attribute more": lambda right: replace_factors(right, big_nose=True),
        "right password, no attribute": lambda right: Factors(right.password),
    }
    x, rights, y = _protected(setting, pairs, rng)
    rows = setting.matched("nothing done: surrogate against original", y, x)
    for name, guess in kinds.items():
        keys = [key_of(guess(right), salt_of(i)).inverse() for i, right in enumerate(rights)]
        goal = None if name.startswith("right factors") else _GOAL
        rows += [replace(row, goal=goal) for row in setting.matched(name, modify(setting.engine, y, keys), x)]
    return rows


def guessed_codes(setting: Setting, pairs: int, rng: np.random.Generator) -> list[Row]:
    """Restoring with a code that is right but for a part: how near must a guess come? Nobody gets near by guessing
    factors, since every bit of the code depends on every bit of them; this tells what a leak of parts would mean."""
    x, rights, y = _protected(setting, pairs, rng)
    keys = [key_of(right, salt_of(i)) for i, right in enumerate(rights)]
    rows: list[Row] = []
    for share in (1e-3, 1e-2, 0.1, 0.25, 0.5):
        wrong = [_flip_signs(key, share, rng).inverse() for key in keys]
        rows += setting.matched(f"code with {share:.1%} of its signs wrong", modify(setting.engine, y, wrong), x)
    for bits in (1, 8, 64):
        wrong = [_flip_signature(key, bits, rng).inverse() for key in keys]
        rows += setting.matched(f"code with {bits} bits of its signature wrong", modify(setting.engine, y, wrong), x)
    parts = {
        "rotation": ("rotation",), "order": ("order",), "signs": ("signs",), "signature": ("signature_to",),
        "order and signs": ("order", "signs"), "rotation, order and signs": ("rotation", "order", "signs"),
    }  # fmt: skip
    for name, fields in parts.items():
        others = [key_of(Factors(_password(rng)), salt_of(i)) for i in range(len(keys))]
        mixed = [
            replace(key, **{field: getattr(other, field) for field in fields}).inverse()
            for key, other in zip(keys, others, strict=True)
        ]
        rows += setting.matched(f"code with a random {name}, the rest right", modify(setting.engine, y, mixed), x)
    return rows


def replace_factors(factors: Factors, *, password: str | None = None, smiling: bool | None = None,
                    big_nose: bool | None = None) -> Factors:  # fmt: skip
    """The attacks' own factors (a password, hair and a smile) with one of them changed."""
    return Factors(
        factors.password if password is None else password,
        hair=factors.hair,
        smiling=factors.smiling if smiling is None else smiling,
        big_nose=factors.big_nose if big_nose is None else big_nose,
    )


def _protected(setting: Setting, pairs: int, rng: np.random.Generator) -> tuple[Crops, list[Factors], Crops]:
    x = setting.first[np.arange(pairs) % len(setting.first)]
    rights = [
        Factors(_password(rng), hair=("black", "blond", "brown", "gray")[i % 4], smiling=bool(rng.integers(2)))
        for i in range(pairs)
    ]
    return x, rights, modify(setting.engine, x, [key_of(right, salt_of(i)) for i, right in enumerate(rights)])


def _password(rng: np.random.Generator) -> str:
    return "".join(rng.choice(list(_LETTERS), 12))


def _one_off(password: str, rng: np.random.Generator) -> str:
    at = int(rng.integers(len(password)))
    other = str(rng.choice([letter for letter in _LETTERS if letter != password[at]]))
    return password[:at] + other + password[at + 1 :]


def _flip_signs(key: StyleKey, share: float, rng: np.random.Generator) -> StyleKey:
    wrong = rng.choice(len(key.signs), max(1, round(share * len(key.signs))), replace=False)
    signs = key.signs.copy()
    signs[wrong] *= -1
    return replace(key, signs=signs)


def _flip_signature(key: StyleKey, bits: int, rng: np.random.Generator) -> StyleKey:
    coded = np.flatnonzero(np.abs(key.signature_to) == 0.5)  # where the key's own bits lie
    signature = key.signature_to.copy()
    signature[rng.choice(coded, bits, replace=False)] *= -1
    return replace(key, signature_to=signature)
