"""The register: what it remembers and what never, and that nothing confirmed is lost."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mfm_edge.errors import RegisterError
from mfm_edge.factors import Factors, KeyDerivation
from mfm_edge.record import RecordHeader
from mfm_edge.register import DamagedEntry, KeyringVault, PassphraseVault, Register
from mfm_edge.register.store import default_path

CHEAP = KeyDerivation(iterations=1, lanes=1, memory_kib=64)
FACTORS = Factors("correct horse", hair="gray", smiling=False)


def header(number: int = 0, **changes: Any) -> RecordHeader:
    options = {"salt": b"salt%012d" % number, "key_derivation": CHEAP, "model_id": "m", "width": 640, "height": 360}
    return RecordHeader(**(options | changes))


def passphrase(text: str = "master") -> PassphraseVault:
    return PassphraseVault(text, key_derivation=CHEAP)


@pytest.fixture
def register(tmp_path: Path) -> Register:
    return Register(tmp_path / "folder" / "register.sqlite3")


def test_what_is_remembered(register: Register) -> None:
    assert register.entries() == [] and not register.path.exists()
    added = register.add(header(), FACTORS, source="talk.mp4", output="out.mp4")
    assert register.entries() == [added] == [register.get(added.id[:5])]
    assert (added.id, added.source, added.kinds) == (header().stream_id, "talk.mp4", ("password", "hair", "smiling"))
    assert added.output == str(Path("out.mp4").absolute()) and added.header == header() and not added.kept
    assert register.path.stat().st_mode & 0o077 == 0 == register.path.parent.stat().st_mode & 0o077


def test_values_are_not_in_the_file(register: Register) -> None:
    register.add(header(), FACTORS, source="a", output=None)
    content = register.path.read_bytes()
    assert b"gray" not in content and b"horse" not in content and b"hair" in content
    with pytest.raises(RegisterError, match="kept no factors"):
        register.factors(header().stream_id)


def test_default_place_is_the_users_data_folder(data_folder: Path) -> None:
    assert Register().path == default_path() == data_folder / "mfm_edge" / "register.sqlite3"


def test_kept_values_open_under_the_passphrase_alone(register: Register) -> None:
    keeping = Register(register.path, vault=passphrase())
    first = keeping.add(header(0), FACTORS, source="a", output=None)
    second = keeping.add(header(1), FACTORS, source="a", output=None)
    assert first.kept and keeping.factors(first.id) == keeping.factors(second.id) == FACTORS
    content = register.path.read_bytes()
    assert b"gray" not in content and b"horse" not in content and b"master" not in content
    with pytest.raises(RegisterError, match="need another passphrase"):
        Register(register.path, vault=passphrase("Master")).factors(first.id)
    with pytest.raises(RegisterError, match="takes a vault"):
        register.factors(first.id)
    with pytest.raises(RegisterError, match="factors kept under 'passphrase', got a keyring"):
        Register(register.path, vault=KeyringVault()).factors(first.id)
    with sqlite3.connect(register.path) as database:  # kept values moved to another stream do not open there
        (kept,) = database.execute("SELECT kept FROM streams WHERE id = ?", (first.id,)).fetchone()
        database.execute("UPDATE streams SET kept = ? WHERE id = ?", (kept, second.id))
    with pytest.raises(RegisterError, match="or were changed"):
        keeping.factors(second.id)


def test_kept_in_the_keyring(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring")
    from keyring.backend import KeyringBackend

    class Memory(KeyringBackend):
        priority = 1
        kept: dict[tuple[str, str], str] = {}  # noqa: RUF012

        def get_password(self, service: str, username: str) -> str | None:
            return self.kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.kept[service, username] = password

    before = keyring.get_keyring()
    keyring.set_keyring(Memory())
    try:
        keeping = Register(register.path, vault=KeyringVault())
        entry = keeping.add(header(), FACTORS, source="a", output=None)
        assert keeping.factors(entry.id) == FACTORS
        (key,) = Memory.kept.values()
        assert len(key) == 64 and key.encode() not in register.path.read_bytes()
        Memory.kept.clear()
        with pytest.raises(RegisterError, match="keyring: holds no 'master key'"):
            keeping.factors(entry.id)
    finally:
        keyring.set_keyring(before)


def test_forgetting_leaves_nothing_behind(register: Register) -> None:
    for number in range(3):
        register.add(header(number), FACTORS, source=f"source {number} of three", output=None)
    register.forget(header(1).stream_id)
    assert [entry.source for entry in register.entries()] == ["source 0 of three", "source 2 of three"]
    content = register.path.read_bytes()
    assert header(1).salt.hex().encode() not in content and b"source 1 of" not in content
    with pytest.raises(RegisterError, match="names no stream"):
        register.forget(header(1).stream_id)


@pytest.mark.parametrize("stream_id", ["", "%", "_", "zz", "'; DROP TABLE streams; --"])
def test_ids_that_name_none(register: Register, stream_id: str) -> None:
    register.add(header(), FACTORS, source="a", output=None)
    with pytest.raises(RegisterError, match="names no stream"):
        register.get(stream_id)
    assert len(register.entries()) == 1


def test_a_stream_is_added_once(register: Register) -> None:
    register.add(header(), FACTORS, source="a", output=None)
    with pytest.raises(RegisterError, match="is there already"):
        register.add(header(), FACTORS, source="b", output=None)
    assert register.get(header().stream_id).source == "a"


def test_header_of_a_video_by_its_name(register: Register) -> None:
    register.add(header(0), FACTORS, source="a", output="there/talk.mp4")
    register.add(header(1), FACTORS, source="a", output="other.mp4")
    register.add(header(2, model_id="new"), FACTORS, source="a", output="talk.mp4")
    assert register.header_of("elsewhere/talk.mp4") == header(2, model_id="new")
    assert register.header_of("talk.mp4", model_id="m") == header(0)
    assert register.header_of("absent.mp4") is None


ADDER = """
import sys
from pathlib import Path
from mfm_edge.factors import Factors, KeyDerivation
from mfm_edge.record import RecordHeader
from mfm_edge.register import Register
cheap = KeyDerivation(iterations=1, lanes=1, memory_kib=64)
register = Register(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    header = RecordHeader(salt=b"salt%012d" % number, key_derivation=cheap, model_id="m", width=640, height=360)
    print(register.add(header, Factors("x"), source=str(number), output=None).id, flush=True)
"""


def adder(path: Path, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-c", ADDER, str(path), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once_lose_nothing(register: Register) -> None:
    """They also make the file and its table at once."""
    both = [adder(register.path, 0, 40), adder(register.path, 40, 80)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    confirmed = {line for out, _ in said for line in out.split()}
    assert len(confirmed) == 80 and {entry.id for entry in register.entries()} == confirmed


def test_killed_process_loses_nothing_that_was_confirmed(register: Register) -> None:
    for attempt in range(3):
        process = adder(register.path, attempt * 100_000, attempt * 100_000 + 90_000)
        assert process.stdout is not None
        confirmed = [process.stdout.readline().strip() for _ in range(5)]
        time.sleep(0.003 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        confirmed += process.communicate(timeout=30)[0].split("\n")[:-1]  # a last line may be half
        known = {entry.id for entry in register.entries()}
        assert set(confirmed) <= known and len(known) >= 5 * (attempt + 1)
        register.add(header(10**9 + attempt), FACTORS, source="after", output=None)


def test_full_disk_loses_nothing_that_was_confirmed(register: Register) -> None:
    confirmed = [register.add(header(0), FACTORS, source="first", output=None)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (register.path.stat().st_size + 8192, before[1]))
    try:
        with pytest.raises(RegisterError, match="cannot be used"):
            for number in range(1, 200):
                confirmed.append(register.add(header(number), FACTORS, source="x" * 500, output=None))
        assert register.entries() == confirmed and len(confirmed) < 200
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    register.add(header(999), FACTORS, source="space again", output=None)
    assert len(register.entries()) == len(confirmed) + 1


def test_another_process_that_holds_the_file_for_long_is_told(register: Register, monkeypatch: Any) -> None:
    monkeypatch.setattr("mfm_edge.register.store._WAIT_SECONDS", 0.1)
    register.add(header(), FACTORS, source="a", output=None)
    other = sqlite3.connect(register.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RegisterError, match="database is locked"):
        register.add(header(1), FACTORS, source="b", output=None)
    other.close()
    register.add(header(1), FACTORS, source="b", output=None)


def test_files_that_are_no_register(tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(RegisterError, match="cannot be used"):
        Register(junk).entries()
    with pytest.raises(RegisterError, match="cannot be used"):
        Register(junk).add(header(), FACTORS, source="a", output=None)
    assert junk.read_bytes() == bytes(range(256)) * 20
    other = tmp_path / "other"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE streams (id)")
    with pytest.raises(RegisterError, match="not a register of this version"):
        Register(other).entries()
    with pytest.raises(RegisterError, match="cannot be written"):
        Register(tmp_path).check()
    with pytest.raises(RegisterError, match="cannot be written"):
        Register(junk / "below").check()


def test_a_planted_trigger_is_refused(register: Register) -> None:
    register.add(header(), FACTORS, source="a", output=None)
    with sqlite3.connect(register.path) as database:
        database.execute("CREATE TRIGGER t AFTER INSERT ON streams BEGIN DELETE FROM streams; END")
    with pytest.raises(RegisterError, match="not a register of this version"):
        register.add(header(1), FACTORS, source="b", output=None)


@pytest.mark.parametrize(
    "change",
    ["header = '{}'", "kinds = '[\"shoe size\"]'", "kinds = '5'", "created = 'today'", "source = x'00'",
     "header = replace(header, '640', '641'), id = '00'", "created = 5"],
)  # fmt: skip
def test_damaged_rows_are_named_and_can_be_forgotten(register: Register, change: str) -> None:
    register.add(header(), FACTORS, source="a", output=None)
    with sqlite3.connect(register.path) as database:
        database.execute(f"UPDATE streams SET {change}")
        ((stream_id,),) = database.execute("SELECT id FROM streams").fetchall()
    good = register.add(header(1), FACTORS, source="b", output="b.mp4")
    assert register.header_of("b.mp4") == good.header  # one damaged stream does not hide the others
    assert register.entries() == [good] and DamagedEntry(id=stream_id) in register.listed()
    for asked in (register.get, register.factors):
        with pytest.raises(RegisterError, match=f"'{stream_id}' is damaged; it can be forgotten"):
            asked(stream_id)
    register.forget(stream_id)
    assert register.listed() == [good]
