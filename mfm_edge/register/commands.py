"""mfm-edge register, also python -m mfm_edge.register: what the register remembers of protected streams.

    mfm-edge register list
    mfm-edge register show 3f2a
    mfm-edge register export 3f2a -o talk_anonymized.mp4.mfm.jsonl    restores without the lost sidecar
    mfm-edge register forget 3f2a

An id may be shortened as long as it names one stream. Exit codes: 0 done, 2 bad input.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from mfm_edge.errors import ArgumentError, MfmError, RegisterError
from mfm_edge.record import RecordWriter
from mfm_edge.register.store import DamagedEntry, Register, StreamEntry
from mfm_edge.register.vault import KeyringVault, PassphraseVault, Vault

__all__ = ["PASSPHRASE_VARIABLE", "VAULTS", "add_commands", "main", "open_vault"]

PASSPHRASE_VARIABLE = "MFM_REGISTER_PASSPHRASE"
VAULTS = ("passphrase", "keyring")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and gives its exit code."""
    parser = argparse.ArgumentParser(
        prog="mfm_edge.register", description="What is remembered of protected streams.", allow_abbrev=False
    )
    add_commands(parser)
    options = parser.parse_args(arguments)
    try:
        options.task(options)
    except MfmError as error:
        print(f"mfm_edge.register: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Adds list, show, forget and export to any parser; the chosen one is `options.task(options)`, raising MfmError."""
    parser.add_argument("--register", type=Path, metavar="FILE", help="another register than the user's")
    commands = parser.add_subparsers(required=True, metavar="list|show|forget|export")
    one = commands.add_parser("list", help="all streams, the newest last")
    one.add_argument("--json", action="store_true", help="one JSON object a line")
    one.set_defaults(task=_list)
    one = commands.add_parser("show", help="everything about one stream")
    one.add_argument("id")
    one.add_argument("--json", action="store_true", help="as a JSON object")
    one.add_argument("--factors", choices=VAULTS, help="also the kept factors, the password among them, opened so")
    one.set_defaults(task=_show)
    one = commands.add_parser("forget", help="remove streams for ever")
    one.add_argument("id", nargs="+")
    one.set_defaults(task=_forget)
    one = commands.add_parser("export", help="write a sidecar with a stream's salt, for when its own was lost")
    one.add_argument("id")
    one.add_argument("-o", "--output", type=Path, required=True)
    one.set_defaults(task=_export)


def open_vault(kind: str, *, new: bool = False) -> Vault:
    """The vault that a command line names. new: the passphrase is asked for twice. Raises RegisterError."""
    if kind == "keyring":
        return KeyringVault()
    if PASSPHRASE_VARIABLE in os.environ:
        return PassphraseVault(os.environ[PASSPHRASE_VARIABLE])
    if not sys.stdin.isatty():
        raise RegisterError(f"passphrase: none given, takes {PASSPHRASE_VARIABLE} or a terminal to ask on")
    passphrase = getpass.getpass("Register's passphrase: ")
    if new and getpass.getpass("Register's passphrase again: ") != passphrase:
        raise RegisterError("passphrase: the two entries differ")
    return PassphraseVault(passphrase)


def _list(options: argparse.Namespace) -> None:
    for entry in Register(options.register).listed():
        if isinstance(entry, DamagedEntry):
            damaged = {"id": entry.id, "damaged": True}
            print(json.dumps(damaged) if options.json else f"{_printable(entry.id)}  damaged; it can be forgotten")
        elif options.json:
            print(json.dumps(entry.to_mapping()))
        else:
            print(f"{entry.id}  {entry.created:%Y-%m-%d %H:%M}  {_printable(entry.output or entry.source)}")


def _show(options: argparse.Namespace) -> None:
    register = Register(options.register, vault=None if options.factors is None else open_vault(options.factors))
    entry = register.get(options.id)
    shown = entry.to_mapping()
    if options.factors is not None:
        factors = register.factors(entry.id)
        values = {each.name: getattr(factors, each.name) for each in fields(factors)}
        shown["factors"] = {name: value for name, value in values.items() if value is not None}
    print(json.dumps(shown) if options.json else _as_lines(shown, entry))


def _forget(options: argparse.Namespace) -> None:
    register = Register(options.register)
    for stream_id in options.id:
        register.forget(stream_id)


def _export(options: argparse.Namespace) -> None:
    header = Register(options.register).get(options.id).header
    if options.output.exists():
        raise ArgumentError(f"output: {options.output} exists already, takes a new name")
    RecordWriter(options.output, header).close()


def _as_lines(shown: dict[str, Any], entry: StreamEntry) -> str:
    lines = []
    for name, value in shown.items():
        if name in ("format", "version"):
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{key}={part}" for key, part in value.items())
        elif isinstance(value, list):
            value = ", ".join(value)
        elif name == "created":
            value = f"{entry.created:%Y-%m-%d %H:%M:%S} UTC"
        lines.append(f"{name:15} {_printable(str(value))}")
    return "\n".join(lines)


def _printable(text: str) -> str:
    """Without control characters: a file's name shall not steer a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
