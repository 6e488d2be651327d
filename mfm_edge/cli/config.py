"""--config FILE: any long option from a TOML file. Flags win over the file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mfm_edge.errors import ArgumentError

__all__ = ["with_config"]

_SECRET = ("password", "passphrase", "token", "secret")


def with_config(
    arguments: Sequence[str], parser: argparse.ArgumentParser | None, commands: Mapping[str, argparse.ArgumentParser]
) -> list[str]:
    """The arguments with those of --config FILE put before them.

    parser: of the command that is run; the file's keys are its long options, without the dashes. commands: all that
    there are: a table [NAME] is for that command alone, and a key that only another command knows is passed over.
    Raises ArgumentError for a file that cannot be read, unknown keys, values of another kind, and for any secret.
    """
    path = _config_path(arguments)
    if path is None or parser is None:
        return list(arguments)
    content = _read(path)
    tables = {name: content.pop(name) for name in list(content) if isinstance(content.get(name), dict)}
    for name in tables:
        if name not in commands:
            raise ArgumentError(f"config {path}: got unknown table [{name}], takes {', '.join(commands)}")
    own = next((name for name, candidate in commands.items() if candidate is parser), None)
    for name, table in tables.items():
        for key in table:
            _check_key(path, key, [commands[name]])
    for key in content:
        _check_key(path, key, list(commands.values()) or [parser])
    merged = {**content, **(tables.get(own, {}) if own is not None else {})}
    tokens: list[str] = []
    for key, value in merged.items():
        option = _option(key)
        if option in _options_of(parser):
            tokens += _tokens(path, key, option, value, parser)
    cut = 1 if own is not None else 0
    return [*arguments[:cut], *tokens, *arguments[cut:]]


def _config_path(arguments: Sequence[str]) -> Path | None:
    for index, argument in enumerate(arguments):
        if argument == "--":
            return None
        if argument == "--config" and index + 1 < len(arguments):
            return Path(arguments[index + 1])
        if argument.startswith("--config="):
            return Path(argument.split("=", 1)[1])
    return None


def _read(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArgumentError(f"config {path}: cannot be read ({error.strerror}), takes a TOML file") from None
    except ValueError:
        pass  # its message may quote the file
    raise ArgumentError(f"config {path}: is not TOML, takes lines like crf = 18")


def _check_key(path: Path, key: str, parsers: Sequence[argparse.ArgumentParser]) -> None:
    known = {option for parser in parsers for option in _options_of(parser)} - {"--config", "--help"}
    if _option(key) in known:
        return
    if any(word in key.lower() for word in _SECRET):
        raise ArgumentError(f"config {path}: {key} is refused, a secret does not belong into it; takes password_file")
    names = sorted(option[2:].replace("-", "_") for option in known if not option.startswith("--no-"))
    raise ArgumentError(f"config {path}: got unknown {key!r:.60}, takes {', '.join(names)}")


def _tokens(path: Path, key: str, option: str, value: Any, parser: argparse.ArgumentParser) -> list[str]:
    switch = _options_of(parser)[option].nargs == 0
    if switch != isinstance(value, bool) or not isinstance(value, (bool, str, int, float)):
        takes = "true or false" if switch else "a text or number"
        raise ArgumentError(f"config {path}: {key}: got {type(value).__name__}, takes {takes}")
    if not switch:
        return [f"{option}={value}"]
    if value:
        return [option]
    no = f"--no-{option[2:]}"
    return [no] if no in _options_of(parser) else []


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")


def _options_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {name: action for name, action in parser._option_string_actions.items() if name.startswith("--")}
