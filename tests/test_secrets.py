"""Neither the password nor a key leaves the process in a file, a message, an argument, a log or a repr."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfm_edge import MfmRuntime
from mfm_edge.factors import Factors, KeyDerivation, derive_keys
from mfm_edge.record import RecordReader

PASSWORD = "correct-horse-5Xq"
FACTORS = Factors(PASSWORD, hair="gray", smiling=True)
CHEAP = KeyDerivation(iterations=1, lanes=1, memory_kib=64)


def spellings(secret: bytes) -> list[bytes]:
    return [secret, secret.hex().encode(), repr(secret).encode(), secret[:16], secret[16:].hex().encode()]


@pytest.fixture(scope="module")
def protected(short_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A short clip through the real command with everything it can write; and what it said, logged and was called."""
    folder = tmp_path_factory.mktemp("secrets")
    script = (
        "import logging, sys; logging.basicConfig(level=1); sys.argv = ['stream', *sys.argv[1:]]\n"
        "from mfm_edge import stream; code = stream.main()\n"
        "print(open('/proc/self/cmdline').read()); sys.exit(code)"
    )
    command = [
        sys.executable,
        "-I",
        "-c",
        script,
        str(short_clip),
        "-o",
        "out.mp4",
        "--seal",
        "--hair",
        "gray",
        "--smiling",
    ]
    environment = {**os.environ, "MFM_PASSWORD": PASSWORD, "XDG_DATA_HOME": str(folder / "data")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return folder, done.stdout + done.stderr


def test_files_and_messages_hold_no_secret(protected: tuple[Path, str]) -> None:
    folder, said = protected
    with RecordReader(folder / "out.mp4.mfm.jsonl") as reader:
        header = reader.header
    keys = derive_keys(FACTORS, salt=header.salt, parameters=header.key_derivation)
    secrets = [PASSWORD.encode(), FACTORS.canonical(), *spellings(keys.style), *spellings(keys.sealing)]
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert {"out.mp4", "out.mp4.mfm.jsonl", "out.mp4.mfm.seal"} <= {path.name for path in written}
    for place, content in [("messages", said.encode()), *((str(path), path.read_bytes()) for path in written)]:
        assert not [secret for secret in secrets if secret in content], place
    # Neither is an attribute's value: which factors were used is all that the register may tell.
    sidecar = (folder / "out.mp4.mfm.jsonl").read_bytes()
    assert b"gray" not in sidecar and b"smiling" not in sidecar


def test_objects_and_exceptions_show_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    keys = derive_keys(FACTORS, salt=b"some salt", parameters=CHEAP)
    with MfmRuntime().open_stream(FACTORS, salt=b"some salt", key_derivation=CHEAP) as stream:
        assert stream.sealing_key == keys.sealing
        slots = stream._keys
        assert slots is not None
        shown = [repr(value) for value in (FACTORS, keys, stream, slots, vars(slots)["_keys"], slots.of(3))]
    for call in (lambda: stream.sealing_key, lambda: stream.anonymize(None), lambda: derive_keys(FACTORS, salt=b"x")):
        with pytest.raises(Exception) as caught:
            call()
        shown.append(repr(caught.value) + repr(caught.value.__context__))
    text = (" ".join(shown) + caplog.text).encode()
    assert not [s for s in [PASSWORD.encode(), *spellings(keys.style), *spellings(keys.sealing)] if s in text]
