"""The register's file: SQLite in the user's data folder, a row a stream, each change on disk before it is confirmed."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from pathlib import Path, PurePath
from typing import Any

from mfm_edge.errors import FactorError, RecordError, RegisterError
from mfm_edge.factors import Factors
from mfm_edge.record import RecordHeader
from mfm_edge.register.vault import Vault

__all__ = ["MAX_FILE_BYTES", "DamagedEntry", "Register", "StreamEntry"]

MAX_FILE_BYTES = 1 << 28
"""Largest register that is opened, several hundred thousand streams: a forged one shall not fill the memory."""

_WAIT_SECONDS = 10.0  # for another process that is writing
_COLUMNS = "id, created, source, output, header, kinds, kept"
_SCHEMA = (
    "CREATE TABLE streams (id TEXT PRIMARY KEY, created TEXT NOT NULL, source TEXT NOT NULL, output TEXT, "
    "header TEXT NOT NULL, kinds TEXT NOT NULL, kept TEXT)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEntry:
    """What is remembered of one stream.

    id: RecordHeader.stream_id. created: when, UTC. source: its name without credentials. output: the protected video's
    path, None for none. header: salt, key derivation, model and size. kinds: names of the factors that were used, such
    as "password" and "hair", never their values. kept: whether the values lie encrypted in the register.
    """

    id: str
    created: datetime
    source: str
    output: str | None
    header: RecordHeader
    kinds: tuple[str, ...]
    kept: bool

    def to_mapping(self) -> dict[str, Any]:
        """The entry as plain JSON values."""
        return {
            "id": self.id,
            "created": self.created.isoformat(),
            "source": self.source,
            "output": self.output,
            "factors": list(self.kinds),
            "kept": self.kept,
            **json.loads(self.header.to_text()),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedEntry:
    """A row that cannot be read. id: what it says, maybe not a stream's; `forget` takes it."""

    id: str


class Register:
    """Remembers streams. Every method is one transaction of its own, so that processes may share the file.

    path: the SQLite file; None takes `register.sqlite3` in the user's data folder. vault: also keeps the factors'
    values, encrypted by it; None keeps none.

    Every method raises RegisterError when the file cannot be read or written, is not a register, or stays locked for
    10 s. A change that returned is on the disk; one that raised, or was killed, left nothing behind.
    """

    def __init__(self, path: str | Path | None = None, *, vault: Vault | None = None) -> None:
        self.path = default_path() if path is None else Path(path)
        self._vault = vault

    def check(self) -> None:
        """Returns when streams can be added: makes the file when there is none."""
        with self._changing():
            pass

    def add(self, header: RecordHeader, factors: Factors, *, source: str, output: str | Path | None) -> StreamEntry:
        """Remembers a stream. Raises RegisterError when it is there already."""
        kinds = tuple(each.name for each in fields(Factors) if getattr(factors, each.name) is not None)
        kept = None
        if self._vault is not None:
            values = {name: getattr(factors, name) for name in kinds}
            kept = json.dumps(self._vault.lock(header.stream_id, json.dumps(values).encode()))
        entry = StreamEntry(
            id=header.stream_id,
            created=datetime.now(timezone.utc).replace(microsecond=0),
            source=source,
            output=None if output is None else str(Path(output).absolute()),
            header=header,
            kinds=kinds,
            kept=kept is not None,
        )
        row = (entry.id, entry.created.isoformat(), source, entry.output, header.to_text(), json.dumps(kinds), kept)
        with self._changing() as database:
            try:
                database.execute(f"INSERT INTO streams ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            except sqlite3.IntegrityError:
                raise RegisterError(f"register {self.path}: stream {entry.id} is there already") from None
        return entry

    def entries(self) -> list[StreamEntry]:
        """All streams that are intact, the newest last."""
        return [entry for entry in self.listed() if isinstance(entry, StreamEntry)]

    def listed(self) -> list[StreamEntry | DamagedEntry]:
        """All streams, damaged ones too, the newest last: one that is damaged shall not hide the others."""
        listed: list[StreamEntry | DamagedEntry] = []
        for row in self._rows("", ()):
            try:
                listed.append(self._entry(row))
            except RegisterError:
                listed.append(DamagedEntry(id=str(row[0])))
        return listed

    def get(self, stream_id: str) -> StreamEntry:
        """The stream of this id, or the only one whose id starts so. Raises RegisterError for none and several."""
        return self._entry(self._row(stream_id))

    def header_of(self, video: str, *, model_id: str | None = None) -> RecordHeader | None:
        """The header of the newest stream whose protected video had this file name, None where there is none.

        Damaged streams are passed over.
        """
        for entry in reversed(self.entries()):
            same = entry.output is not None and PurePath(entry.output).name == PurePath(video).name
            if same and model_id in (None, entry.header.model_id):
                return entry.header
        return None

    def factors(self, stream_id: str) -> Factors:
        """The factors that were kept. Raises RegisterError when none were, or the vault is another one."""
        row = self._row(stream_id)
        entry = self._entry(row)
        if self._vault is None or not entry.kept:
            raise RegisterError(
                f"register, stream {entry.id}: " + ("takes a vault" if entry.kept else "kept no factors")
            )
        try:
            return Factors.from_mapping(json.loads(self._vault.open(entry.id, json.loads(row[-1]))))
        except (ValueError, AttributeError, RecursionError, FactorError):
            raise RegisterError(f"register, stream {entry.id}: kept factors are damaged") from None

    def forget(self, stream_id: str) -> None:
        """Removes a stream, also a damaged one, and overwrites what was stored. Raises RegisterError as `get`."""
        found = str(self._row(stream_id)[0])
        with self._changing() as database:
            database.execute("DELETE FROM streams WHERE id = ?", (found,))

    def _row(self, stream_id: str) -> tuple[Any, ...]:
        # Compared as text, never as a pattern: a user's % or _ is no wildcard.
        rows = self._rows("WHERE substr(id, 1, ?) = ?", (len(stream_id), stream_id)) if stream_id else []
        if len(rows) == 1:
            return rows[0]
        got = f"{len(rows)} streams" if rows else "no stream"
        raise RegisterError(f"stream id: got {stream_id!r:.40}, which names {got}, takes an id that `list` shows")

    def _rows(self, where: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        with self._open() as database:
            if not _objects(database):
                return []
            order = "ORDER BY created, rowid"
            return database.execute(f"SELECT {_COLUMNS} FROM streams {where} {order}", values).fetchall()

    def _entry(self, row: tuple[Any, ...]) -> StreamEntry:
        stream_id, created, source, output, header, kinds, kept = row
        try:
            names = json.loads(kinds)
            known = {each.name for each in fields(Factors)}
            texts = (stream_id, source, *(() if output is None else (output,)))
            if not (isinstance(names, list) and all(name in known for name in names)):
                raise ValueError
            if not all(isinstance(text, str) for text in texts):
                raise ValueError
            entry = StreamEntry(
                id=stream_id,
                created=datetime.fromisoformat(created),
                source=source,
                output=output,
                header=RecordHeader.from_text(header),
                kinds=tuple(names),
                kept=kept is not None,
            )
            if entry.header.stream_id != stream_id:
                raise ValueError
        except (TypeError, ValueError, RecordError, RecursionError):
            raise RegisterError(
                f"register {self.path}: stream {stream_id!r:.40} is damaged; it can be forgotten"
            ) from None
        return entry

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is confirmed at the end and undone by an error."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))  # readable for its owner alone
        except OSError as error:
            raise RegisterError(f"register {self.path}: cannot be written ({error.strerror})") from None
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                if not _objects(database):
                    database.execute(_SCHEMA)
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if self.path.stat().st_size > MAX_FILE_BYTES:
                raise RegisterError(f"register {self.path}: is larger than {MAX_FILE_BYTES} bytes")
            address = self.path.absolute().as_uri() + "?mode=rw"
            with closing(sqlite3.connect(address, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)) as database:
                database.execute("PRAGMA trusted_schema = OFF")
                database.execute("PRAGMA synchronous = EXTRA")  # a commit has reached the disk, its folder too
                database.execute("PRAGMA secure_delete = ON")
                if not _objects(database) <= {_SCHEMA}:  # a trigger or view would run its own SQL
                    raise RegisterError(f"register {self.path}: is a database, but not a register of this version")
                yield database
        except (sqlite3.Error, OSError) as error:
            raise RegisterError(f"register {self.path}: cannot be used ({error})") from None
        except (UnicodeError, OverflowError):
            raise RegisterError(f"register {self.path}: holds text that is not UTF-8") from None


def default_path() -> Path:
    """Where the register lies unless another place is given."""
    from platformdirs import user_data_path

    return user_data_path("mfm_edge", appauthor=False) / "register.sqlite3"


def _objects(database: sqlite3.Connection) -> set[str]:
    return {str(sql) for (sql,) in database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
