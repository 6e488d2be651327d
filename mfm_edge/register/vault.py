"""Where kept factors are locked: under a master passphrase, or a key in the operating system's keyring."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from mfm_edge.errors import FactorError, RegisterError
from mfm_edge.factors import DEFAULT_KEY_DERIVATION, KeyDerivation, expand_key, stretch

__all__ = ["KeyringVault", "PassphraseVault", "Vault"]

_LABEL = b"mfm_edge register/1"
_SALT_BYTES, _NONCE_BYTES = 16, 12
_SERVICE, _ENTRY = "mfm_edge register", "master key"


class Vault(Protocol):
    """Locks and opens contents. A locked one is a mapping of JSON values and belongs to the `name` it was locked for.

    Unlike a protected video, a vault tells a wrong passphrase from the right one.
    """

    def lock(self, name: str, content: bytes) -> dict[str, object]: ...

    def open(self, name: str, locked: Mapping[str, object]) -> bytes:
        """Raises RegisterError for another passphrase, another name, or a content that was changed."""
        ...


class PassphraseVault:
    """A vault under a master passphrase, stretched by Argon2id with a salt for every content (about 0.25 s each).

    Raises FactorError for an empty passphrase or one that is not text.
    """

    def __init__(self, passphrase: str, *, key_derivation: KeyDerivation = DEFAULT_KEY_DERIVATION) -> None:
        from mfm_edge.factors import Factors

        self._secret = Factors(passphrase).canonical()  # the same rules as for a password: NFC, not empty, UTF-8
        self._key_derivation = key_derivation

    def lock(self, name: str, content: bytes) -> dict[str, object]:
        salt = os.urandom(_SALT_BYTES)
        key = expand_key(stretch(self._secret, salt, self._key_derivation), _LABEL)
        costs = {"salt": salt.hex(), "key_derivation": self._key_derivation.to_mapping()}
        return {"vault": "passphrase", **costs, **_encrypt(key, name, content)}

    def open(self, name: str, locked: Mapping[str, object]) -> bytes:
        _check_kind(name, locked, "passphrase")
        costs = locked.get("key_derivation")
        try:
            if not isinstance(costs, dict):
                raise FactorError("key derivation: missing")
            parameters = KeyDerivation.from_mapping(costs)
        except FactorError as error:
            raise RegisterError(f"register, stream {name}: {error}") from None
        salt = _hexadecimal(name, locked.get("salt"), _SALT_BYTES)
        return _decrypt(expand_key(stretch(self._secret, salt, parameters), _LABEL), name, locked, "passphrase")


class KeyringVault:
    """A vault under a random key in the operating system's keyring (`pip install 'mfm-edge[keyring]'`).

    The key is made when something is locked for the first time. Raises RegisterError when there is no keyring.
    """

    def lock(self, name: str, content: bytes) -> dict[str, object]:
        return {"vault": "keyring", **_encrypt(self._key(make=True), name, content)}

    def open(self, name: str, locked: Mapping[str, object]) -> bytes:
        _check_kind(name, locked, "keyring")
        return _decrypt(self._key(make=False), name, locked, "keyring's key")

    def _key(self, *, make: bool) -> bytes:
        try:
            import keyring
            from keyring.errors import KeyringError
        except ImportError:
            raise RegisterError("keyring: is not installed, takes pip install 'mfm-edge[keyring]'") from None
        try:
            found = keyring.get_password(_SERVICE, _ENTRY)
            if found is None and make:
                keyring.set_password(_SERVICE, _ENTRY, os.urandom(32).hex())
                found = keyring.get_password(_SERVICE, _ENTRY)  # as stored: another process may have been first
        except KeyringError as error:
            raise RegisterError(f"keyring: cannot be used ({type(error).__name__})") from None
        if found is None:
            raise RegisterError(
                f"keyring: holds no {_ENTRY!r} of {_SERVICE!r}, takes the keyring that kept the factors"
            )
        return _hexadecimal("keyring", found, 32)


def _encrypt(key: bytes, name: str, content: bytes) -> dict[str, object]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    return {"nonce": nonce.hex(), "content": AESGCM(key).encrypt(nonce, content, name.encode()).hex()}


def _decrypt(key: bytes, name: str, locked: Mapping[str, object], what: str) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = _hexadecimal(name, locked.get("nonce"), _NONCE_BYTES)
    content = _hexadecimal(name, locked.get("content"), None)
    try:
        return AESGCM(key).decrypt(nonce, content, name.encode())
    except InvalidTag:
        raise RegisterError(f"register, stream {name}: its kept factors need another {what}, or were changed") from None


def _check_kind(name: str, locked: Mapping[str, object], kind: str) -> None:
    if locked.get("vault") != kind:
        raise RegisterError(f"register, stream {name}: factors kept under {locked.get('vault')!r:.20}, got a {kind}")


def _hexadecimal(name: str, value: object, length: int | None) -> bytes:
    try:
        content = bytes.fromhex(value) if isinstance(value, str) else None
    except ValueError:
        content = None
    if content is None or (length is not None and len(content) != length):
        raise RegisterError(f"register, stream {name}: kept factors are damaged")
    return content
