"""The password from a file, the environment or the terminal; never from the command line, which others can read."""

from __future__ import annotations

import argparse
import getpass
import os
import sys

from mfm_edge.errors import FactorError

__all__ = ["PASSWORD_VARIABLE", "read_password"]

PASSWORD_VARIABLE = "MFM_PASSWORD"
_MAX_PASSWORD_FILE = 64 * 1024


def read_password(options: argparse.Namespace, *, twice: bool) -> str:
    """The password. twice: ask for it twice on a terminal, because a slip would lock the video for good."""
    if options.password_file is not None:
        try:
            with options.password_file.open(encoding="utf-8") as file:
                text: str = file.read(_MAX_PASSWORD_FILE)
        except OSError as error:
            raise FactorError(f"password file {options.password_file}: cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            text = "\ud800"  # refused below, outside of this error, which carries the file's bytes
        if "\ud800" in text:
            raise FactorError(f"password file {options.password_file}: is not UTF-8 text, takes the password in line 1")
        lines = text.splitlines()
        return lines[0] if lines else ""
    if PASSWORD_VARIABLE in os.environ:
        return os.environ[PASSWORD_VARIABLE]
    if not sys.stdin.isatty():
        raise FactorError(f"password: none given, takes --password-file, {PASSWORD_VARIABLE} or a terminal to ask on")
    password = getpass.getpass("Password: ")
    if twice and getpass.getpass("Password again: ") != password:
        raise FactorError("password: the two entries differ")
    return password
