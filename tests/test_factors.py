"""Factors: canonical form, derivation vectors, secrecy of the password, and what bad input is told."""

from __future__ import annotations

import hashlib
import hmac
import pickle
import time
import traceback

import numpy as np
import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from mfm_edge.errors import FactorError, MfmError
from mfm_edge.factors import ATTRIBUTES, IMAGE_SALT, Factors, KeyDerivation, derive_keys, derive_secret

SECRET = "correct horse"
CHEAP = KeyDerivation(iterations=1, lanes=1, memory_kib=64)


def test_attribute_vector_spells_every_attribute_in_order() -> None:
    factors = Factors(SECRET, hair="blond", gender="female", age="old", smiling=True, big_lips=False)
    vector = factors.attribute_vector()
    assert vector.shape == (17,) == (len(ATTRIBUTES),)
    assert vector.dtype == np.float32
    expected = dict.fromkeys(ATTRIBUTES, 0.0) | {
        "black_hair": -1,
        "blond_hair": 1,
        "brown_hair": -1,
        "gray_hair": -1,
        "male": -1,
        "young": -1,
        "smiling": 1,
        "big_lips": -1,
    }
    assert dict(zip(ATTRIBUTES, vector.tolist(), strict=True)) == expected


def test_no_attributes_is_all_zero() -> None:
    assert not Factors(SECRET).attribute_vector().any()


def test_canonical_form_is_pinned() -> None:
    canonical = Factors("ab", hair="blond", smiling=False).canonical()
    assert canonical == b"mfm_edge.factors/1\x00" + b"\x00\x00\x00\x02ab" + b"-+--00-0000000000"


def test_canonical_form_joins_unicode_spellings_and_keeps_everything_else_apart() -> None:
    assert Factors("caf\u00e9").canonical() == Factors("cafe\u0301").canonical()
    assert Factors("caf\u00e9") == Factors("cafe\u0301")
    variants = [
        Factors("a"),
        Factors("a "),
        Factors("b83a93d18eabc9f6bc08be50256739e840049af80c27d72ce71a1dfa4c5f8d66"),
        Factors("a", smiling=True),
        Factors("a", smiling=False),
        Factors("a", hair="gray"),
        Factors("a", gender="male"),
        Factors("a", age="young"),
    ]
    assert len({variant.canonical() for variant in variants}) == len(variants)


@pytest.mark.parametrize(
    ("factors", "salt", "parameters", "expected"),
    [
        (
            Factors("password"),
            IMAGE_SALT,
            KeyDerivation(),
            "dea655fd9261c3a5e2830dce982a78dea62efbef93bf696b2d6259a583bfd705",
        ),
        (Factors("password"), IMAGE_SALT, CHEAP, "83b1658336888de55d34f9ae21189428eca838d08d59d107d798d094665194f9"),
        (
            Factors("password", smiling=True),
            IMAGE_SALT,
            CHEAP,
            "2ebd3cc9a9f6894124761cb88bdb988256079101607ab75befb92a2878eeac31",
        ),
        (
            Factors("пароль", hair="black", gender="male", beard=True),
            bytes(range(16)),
            CHEAP,
            "3269d69962ecd4d80981df495270500a475166f8f8514c4d053f8e7b3152c66d",
        ),
    ],
)
def test_derivation_vectors(factors: Factors, salt: bytes, parameters: KeyDerivation, expected: str) -> None:
    # A changed vector means that every video protected so far cannot be restored any more.
    assert derive_secret(factors, salt=salt, parameters=parameters).hex() == expected


@pytest.mark.parametrize(
    ("factors", "salt", "sealing"),
    [
        (Factors("password"), IMAGE_SALT, "b83a93d18eabc9f6bc08be50256739e840049af80c27d72ce71a1dfa4c5f8d66"),
        (
            Factors("password", smiling=True),
            IMAGE_SALT,
            "448cd70338113d0fc0715da657b1420908a7e74801491133fdd171475b01754c",
        ),
        (
            Factors("cafe\u0301", hair="gray"),
            bytes(range(16)),
            "e7f4bd8e559d5e40c04fe354518ffa2e9f4228ca8b1ba5f326be972a093486cc",
        ),
    ],
)
def test_sealing_key_vectors(factors: Factors, salt: bytes, sealing: str) -> None:
    keys = derive_keys(factors, salt=salt, parameters=CHEAP)
    assert keys.sealing.hex() == sealing
    assert keys.style == derive_secret(factors, salt=salt, parameters=CHEAP)


def test_keys_are_those_that_the_standards_give() -> None:
    """Argon2id in one step, then HKDF-Expand (RFC 5869) written out as the HMAC it is."""
    factors, salt = Factors("password", beard=True), bytes(range(16))
    stretched = Argon2id(salt=salt, length=32, iterations=1, lanes=1, memory_cost=64).derive(factors.canonical())
    keys = derive_keys(factors, salt=salt, parameters=CHEAP)
    for key, label in ((keys.style, b"mfm_edge style code/1"), (keys.sealing, b"mfm_edge sealing/1")):
        assert key == hmac.digest(stretched, label + b"\x01", "sha256")


def test_one_derivation_gives_keys_that_share_nothing() -> None:
    keys = derive_keys(Factors("password"), parameters=CHEAP)
    assert len(keys.style) == len(keys.sealing) == 32
    distance = (int.from_bytes(keys.style, "big") ^ int.from_bytes(keys.sealing, "big")).bit_count()
    assert 80 < distance < 176
    shown = repr(keys) + str(keys)
    assert not any(secret in shown for key in (keys.style, keys.sealing) for secret in (repr(key), key.hex()))


def test_every_input_changes_half_of_the_bits() -> None:
    base = derive_secret(Factors("password"), parameters=CHEAP)
    others = [
        derive_secret(Factors("passwore"), parameters=CHEAP),
        derive_secret(Factors("password", smiling=True), parameters=CHEAP),
        derive_secret(Factors("password", smiling=False), parameters=CHEAP),
        derive_secret(Factors("password"), salt=b"another salt", parameters=CHEAP),
        derive_secret(Factors("password"), parameters=KeyDerivation(iterations=2, lanes=1, memory_kib=64)),
    ]
    for other in others:
        distance = (int.from_bytes(base, "big") ^ int.from_bytes(other, "big")).bit_count()
        assert 80 < distance < 176


def test_derivation_is_quick_enough_for_a_first_frame() -> None:
    started = time.perf_counter()
    derive_secret(Factors(SECRET))
    assert time.perf_counter() - started < 2.0


def test_password_stays_out_of_text() -> None:
    factors = Factors(SECRET, hair="black")
    assert SECRET not in repr(factors) + str(factors) + f"{factors}"
    assert "hair='black'" in repr(factors)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: Factors(SECRET, hair="green"),
        lambda: Factors(SECRET, smiling="yes"),
        lambda: Factors(SECRET, smile=True),
        lambda: Factors(SECRET + "\ud800"),
        lambda: Factors(SECRET.encode()),
        lambda: Factors.from_mapping({"password": SECRET, "hat": True}),
        lambda: derive_secret(Factors(SECRET), salt=b"short"),
        lambda: derive_secret(Factors(SECRET), parameters="argon2id"),
    ],
)
def test_password_stays_out_of_errors(attempt: object) -> None:
    with pytest.raises(FactorError) as caught:
        attempt()
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    message = "".join(traceback.format_exception_only(caught.value))
    assert SECRET not in message and repr(SECRET) not in message


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"password": ""}, "password: got an empty string"),
        ({"password": 7}, "password: got int, takes a string"),
        ({"password": "x", "hair": "green"}, "hair: got 'green', takes 'black', 'blond', 'brown', 'gray' or None"),
        ({"password": "x", "gender": True}, "gender: got True"),
        ({"password": "x", "age": "Young"}, "age: got 'Young', takes 'young', 'old' or None"),
        ({"password": "x", "beard": 1}, "beard: got 1, takes True, False or None"),
        ({"password": "x", "smileing": True}, "did you mean 'smiling'?"),
        ({"password": "x", "hat": True}, "attribute: got unknown name 'hat'"),
    ],
)
def test_bad_factors_are_named(keywords: dict[str, object], words: str) -> None:
    with pytest.raises(FactorError) as by_keyword:
        Factors(**keywords)
    with pytest.raises(MfmError) as by_mapping:
        Factors.from_mapping(keywords)
    assert words in str(by_keyword.value)
    assert str(by_mapping.value) == str(by_keyword.value)


def test_from_mapping_needs_a_password() -> None:
    with pytest.raises(FactorError, match="password: missing"):
        Factors.from_mapping({"hair": "black"})
    assert Factors.from_mapping({"password": "x", "hair": "black"}) == Factors("x", hair="black")


def test_factors_are_frozen_hashable_and_picklable() -> None:
    factors = Factors(SECRET, eyeglasses=True)
    with pytest.raises(AttributeError):
        factors.password = "other"
    assert pickle.loads(pickle.dumps(factors)) == factors
    assert len({factors, Factors(SECRET, eyeglasses=True)}) == 1


def test_key_derivation_round_trip_and_limits() -> None:
    assert KeyDerivation.from_mapping(KeyDerivation().to_mapping()) == KeyDerivation()
    for broken in (
        {"memory_kib": 1 << 30},
        {"iterations": 0},
        {"lanes": True},
        {"algorithm": "md5"},
        {"version": 2},
        {"surprise": 1},
    ):
        with pytest.raises(FactorError, match="key derivation: got"):
            KeyDerivation.from_mapping(KeyDerivation().to_mapping() | broken)
    with pytest.raises(FactorError, match="key derivation: got"):
        KeyDerivation.from_mapping({"algorithm": "argon2id"})


def test_image_salt_is_pinned() -> None:
    assert hashlib.sha256(IMAGE_SALT).hexdigest()[:16] == "1033869c7ffaa860"
