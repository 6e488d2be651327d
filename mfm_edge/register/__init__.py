"""The multi-factor register: what restoring each stream takes, in case its sidecar gets lost."""

from mfm_edge.register.store import DamagedEntry, Register, StreamEntry
from mfm_edge.register.vault import KeyringVault, PassphraseVault, Vault

__all__ = ["DamagedEntry", "KeyringVault", "PassphraseVault", "Register", "StreamEntry", "Vault"]
