"""The factors that lock a face: a password and facial attributes, and the secret derived from them.

Both directions need the same factors. A different password, a single different attribute or another salt gives
an unrelated secret, so the network draws another face instead of the original one.
"""

from __future__ import annotations

import difflib
import struct
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Literal, NoReturn, cast, get_args

import numpy as np
import numpy.typing as npt

from mfm_edge.errors import FactorError

Hair = Literal["black", "blond", "brown", "gray"]
Gender = Literal["male", "female"]
Age = Literal["young", "old"]

ATTRIBUTES: tuple[str, ...] = (
    "black_hair",
    "blond_hair",
    "brown_hair",
    "gray_hair",
    "male",
    "young",
    "smiling",
    "mouth_open",
    "eyeglasses",
    "mustache",
    "beard",
    "arched_eyebrows",
    "bushy_eyebrows",
    "bags_under_eyes",
    "big_nose",
    "big_lips",
    "pale_skin",
)
"""Order of `Factors.attribute_vector`. Append only: the order is part of every derived secret."""

_PERSONAL = ("arched_eyebrows", "bushy_eyebrows", "bags_under_eyes", "big_nose", "big_lips")
STAYS: tuple[bool, ...] = tuple(name not in _PERSONAL for name in ATTRIBUTES)
"""Of each of ATTRIBUTES, whether it stays as in the input when no factor asks for it. What makes up a person does not:
that is the key's."""

IMAGE_SALT = b"mfm-edge/image/1"
"""16 public bytes used where no sidecar carries a random salt: pictures, and videos restored without a sidecar."""

SALT_BYTES = (8, 64)
"""Shortest and longest salt accepted, in bytes."""

_CANONICAL_LABEL = b"mfm_edge.factors/1\x00"
_STYLE_LABEL = b"mfm_edge style code/1"
_SEALING_LABEL = b"mfm_edge sealing/1"
_CHOICES: dict[str, tuple[str, ...]] = {"hair": get_args(Hair), "gender": get_args(Gender), "age": get_args(Age)}
_SWITCHES: tuple[str, ...] = ATTRIBUTES[6:]  # the attributes that are simply on, off or as in the input
_SIGNS = {-1: b"-", 0: b"0", 1: b"+"}


@dataclass(frozen=True, slots=True, init=False)
class Factors:
    """A password and the attributes that the surrogate face shall have. `None` keeps an attribute as in the input.

    hair: "black", "blond", "brown", "gray". gender: "male", "female". age: "young", "old". All others: True, False.

    The password is compared in Unicode form NFC, so the same characters typed on another system match. It never
    appears in `repr`, `str` or an exception. Two Factors are equal when they derive the same secrets.

    Raises FactorError for an empty password, an unknown attribute and a value an attribute does not take.
    """

    password: str = field(repr=False)
    hair: Hair | None
    gender: Gender | None
    age: Age | None
    smiling: bool | None
    mouth_open: bool | None
    eyeglasses: bool | None
    mustache: bool | None
    beard: bool | None
    arched_eyebrows: bool | None
    bushy_eyebrows: bool | None
    bags_under_eyes: bool | None
    big_nose: bool | None
    big_lips: bool | None
    pale_skin: bool | None

    def __init__(
        self,
        password: str,
        *,
        hair: Hair | None = None,
        gender: Gender | None = None,
        age: Age | None = None,
        smiling: bool | None = None,
        mouth_open: bool | None = None,
        eyeglasses: bool | None = None,
        mustache: bool | None = None,
        beard: bool | None = None,
        arched_eyebrows: bool | None = None,
        bushy_eyebrows: bool | None = None,
        bags_under_eyes: bool | None = None,
        big_nose: bool | None = None,
        big_lips: bool | None = None,
        pale_skin: bool | None = None,
        **unknown: NoReturn,  # type checkers refuse any other name; at run time it gets a FactorError with a hint
    ) -> None:
        given: dict[str, object] = {
            "hair": hair,
            "gender": gender,
            "age": age,
            "smiling": smiling,
            "mouth_open": mouth_open,
            "eyeglasses": eyeglasses,
            "mustache": mustache,
            "beard": beard,
            "arched_eyebrows": arched_eyebrows,
            "bushy_eyebrows": bushy_eyebrows,
            "bags_under_eyes": bags_under_eyes,
            "big_nose": big_nose,
            "big_lips": big_lips,
            "pale_skin": pale_skin,
            **unknown,
        }
        object.__setattr__(self, "password", _checked_password(password))
        for name, value in given.items():
            object.__setattr__(self, _known_name(name), _checked_value(name, value))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object]) -> Factors:
        """Factors from a mapping such as parsed JSON or TOML: the constructor's names, "password" among them."""
        if not isinstance(mapping, Mapping):
            raise FactorError(f"factors: got {type(mapping).__name__}, takes a mapping of names to values")
        if "password" not in mapping:
            raise FactorError("password: missing, takes a string of at least one character")
        for name in mapping:
            if not isinstance(name, str):
                raise FactorError(f"attribute name: got {type(name).__name__}, takes a string")
        return cls(**cast("dict[str, NoReturn]", dict(mapping)))

    def attribute_vector(self) -> npt.NDArray[np.float32]:
        """The attributes as (17,) float32 in the order of `ATTRIBUTES`: +1 asked for, -1 asked away, 0 as it is."""
        hair = [0.0 if self.hair is None else (1.0 if self.hair == colour else -1.0) for colour in _CHOICES["hair"]]
        male = {None: 0.0, "male": 1.0, "female": -1.0}[self.gender]
        young = {None: 0.0, "young": 1.0, "old": -1.0}[self.age]
        switches = [{None: 0.0, True: 1.0, False: -1.0}[getattr(self, name)] for name in _SWITCHES]
        return np.array([*hair, male, young, *switches], dtype=np.float32)

    def canonical(self) -> bytes:
        """The one byte string that stands for these factors: label, password length and bytes, one sign an attribute.

        Contains the password: for key derivation only, never to be logged or stored.
        """
        password = self.password.encode("utf-8")
        signs = b"".join(_SIGNS[int(value)] for value in self.attribute_vector())
        return _CANONICAL_LABEL + struct.pack(">I", len(password)) + password + signs


def _check_range(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FactorError(f"key derivation: got {name}={value!r:.40}, takes an integer from {low} to {high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDerivation:
    """How a secret is derived from factors: Argon2id and its costs. Public: a sidecar carries it for restoring.

    The default is RFC 9106's profile for limited memory: about 0.25 s and 64 MiB, once a stream or picture.
    Raises FactorError outside the ranges, which also keep a forged sidecar from asking for hours or all the memory.
    """

    algorithm: Literal["argon2id"] = "argon2id"
    version: int = 1
    iterations: int = 3
    """1 to 16 passes over the memory."""
    lanes: int = 4
    """1 to 16."""
    memory_kib: int = 64 * 1024
    """8 KiB a lane to 1 GiB, in KiB."""

    def __post_init__(self) -> None:
        if self.algorithm != "argon2id":
            raise FactorError(f"key derivation: got algorithm {self.algorithm!r:.40}, takes 'argon2id'")
        _check_range("version", self.version, 1, 1)
        _check_range("iterations", self.iterations, 1, 16)
        _check_range("lanes", self.lanes, 1, 16)
        _check_range("memory_kib", self.memory_kib, 8 * self.lanes, 1 << 20)

    def to_mapping(self) -> dict[str, str | int]:
        """The parameters as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object]) -> KeyDerivation:
        """The inverse of `to_mapping`; every parameter must be there and no other. Raises FactorError."""
        names = [parameter.name for parameter in fields(cls)]
        if not isinstance(mapping, Mapping) or set(mapping) != set(names):
            got = ", ".join(map(str, mapping)) if isinstance(mapping, Mapping) else type(mapping).__name__
            raise FactorError(f"key derivation: got {got!r:.120}, takes exactly {', '.join(names)}")
        return cls(**cast("dict[str, NoReturn]", dict(mapping)))


DEFAULT_KEY_DERIVATION = KeyDerivation()


@dataclass(frozen=True, slots=True, repr=False)
class StreamKeys:
    """The secrets of one stream, 32 bytes each, from one derivation; neither tells anything about the other.

    style: for the style code. sealing: for sealed originals. The repr shows neither.
    """

    style: bytes
    sealing: bytes


def derive_keys(
    factors: Factors, *, salt: bytes = IMAGE_SALT, parameters: KeyDerivation = DEFAULT_KEY_DERIVATION
) -> StreamKeys:
    """The keys of a stream: Argon2id over the canonical factors once, then HKDF-SHA256 under a label a key.

    salt: 8 to 64 public bytes, the same for both directions. Takes about 0.25 s with the default parameters.
    Raises FactorError for factors, a salt or parameters of the wrong kind.
    """
    if not isinstance(factors, Factors):
        raise FactorError(f"factors: got {type(factors).__name__}, takes Factors(password=...)")
    if not isinstance(parameters, KeyDerivation):
        raise FactorError(f"parameters: got {type(parameters).__name__}, takes KeyDerivation(...)")
    shortest, longest = SALT_BYTES
    if not isinstance(salt, (bytes, bytearray)) or not shortest <= len(salt) <= longest:
        got = f"{len(salt)} bytes" if isinstance(salt, (bytes, bytearray)) else type(salt).__name__
        raise FactorError(f"salt: got {got}, takes {shortest} to {longest} bytes")
    stretched = stretch(factors.canonical(), bytes(salt), parameters)
    return StreamKeys(style=expand_key(stretched, _STYLE_LABEL), sealing=expand_key(stretched, _SEALING_LABEL))


def derive_secret(
    factors: Factors, *, salt: bytes = IMAGE_SALT, parameters: KeyDerivation = DEFAULT_KEY_DERIVATION
) -> bytes:
    """The 32 secret bytes for the style code alone; see derive_keys."""
    return derive_keys(factors, salt=salt, parameters=parameters).style


def stretch(secret: bytes, salt: bytes, parameters: KeyDerivation) -> bytes:
    """32 bytes by Argon2id: what makes guessing slow."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    return Argon2id(
        salt=salt,
        length=32,
        iterations=parameters.iterations,
        lanes=parameters.lanes,
        memory_cost=parameters.memory_kib,
    ).derive(secret)


def expand_key(key: bytes, label: bytes) -> bytes:
    """32 bytes by HKDF-SHA256's second half: from one strong key another for the purpose that `label` names."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    return HKDFExpand(algorithm=SHA256(), length=32, info=label).derive(key)


def _checked_password(password: object) -> str:
    if not isinstance(password, str):
        raise FactorError(f"password: got {type(password).__name__}, takes a string of at least one character")
    if not password:
        raise FactorError("password: got an empty string, takes at least one character")
    if any("\ud800" <= character <= "\udfff" for character in password):
        # Checked here rather than left to encode(): its UnicodeEncodeError would carry the password.
        raise FactorError("password: got text with a lone surrogate, takes text that can be written as UTF-8")
    return unicodedata.normalize("NFC", password)


def _known_name(name: str) -> str:
    known = (*_CHOICES, *_SWITCHES)
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise FactorError(f"attribute: got unknown name {name!r:.60}, takes one of {', '.join(known)}{hint}")


def _checked_value(name: str, value: object) -> object:
    if value is None:
        return None
    choices = _CHOICES.get(name)
    if choices is not None:
        if not isinstance(value, str) or value not in choices:
            raise FactorError(f"{name}: got {value!r:.60}, takes {', '.join(map(repr, choices))} or None")
        return value
    if not isinstance(value, (bool, np.bool_)):
        raise FactorError(f"{name}: got {value!r:.60}, takes True, False or None")
    return bool(value)
