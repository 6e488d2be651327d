"""python -m mfm_edge.stream: anonymise or restore a camera, a file or a network stream.

    python -m mfm_edge.stream talk.mp4             writes talk_anonymized.mp4 and, beside it, its sidecar
    python -m mfm_edge.stream --camera 0 --preview -o out.mp4 --hair blond --smiling
    python -m mfm_edge.stream out.mp4 --restore --hair blond --smiling

The password is asked for, or read from --password-file or the environment variable MFM_PASSWORD. It is never an
argument, because other users of a machine can read those. Exit codes: 0 done, 2 bad input or a source that broke (what
was written stays playable), 130 or 143 when a recording was interrupted by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn, get_args

from mfm_edge.errors import ArgumentError, FactorError, MfmError, RegisterError, SourceError
from mfm_edge.factors import ATTRIBUTES, Age, Factors, Gender, Hair
from mfm_edge.pipeline import Monitor, Summary, anonymize_video, restore_video
from mfm_edge.register import Register
from mfm_edge.register.commands import VAULTS, open_vault
from mfm_edge.runtime import MfmRuntime
from mfm_edge.video import Preview, Source, open_source

__all__ = ["main", "seal_of", "sidecar_of"]

PASSWORD_VARIABLE = "MFM_PASSWORD"
_MAX_PASSWORD_FILE = 64 * 1024
_SWITCHES = ATTRIBUTES[6:]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and gives its exit code."""
    try:
        return _run(_parse(arguments))
    except MfmError as error:
        print(f"mfm_edge.stream: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the first frame, for example at the password prompt
        print("mfm_edge.stream: interrupted", file=sys.stderr)
        return 130


def sidecar_of(video: Path) -> Path:
    """Where a protected video's sidecar stands unless another place is given: beside it."""
    return video.with_name(video.name + ".mfm.jsonl")


def seal_of(video: Path) -> Path:
    """Where a protected video's sealed originals stand: beside it."""
    return video.with_name(video.name + ".mfm.seal")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # One line, and without values that were not understood: they may be a password.
        if message.startswith("unrecognized arguments"):
            names = [word.split("=")[0] for word in message.split()[2:] if word.startswith("--")]
            message = f"unrecognized arguments: {' '.join(names) or 'more than one input'}"
        self.exit(2, f"{self.prog}: error: {message}; --help shows what there is\n")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="mfm_edge.stream",
        description="Replace every face in a video by another person's, reversibly for who knows the factors.",
        epilog=f"The password is asked for, or read from --password-file or {PASSWORD_VARIABLE}; never an argument.",
        allow_abbrev=False,
    )
    parser.add_argument("input", nargs="?", help="camera index, video file or URL")
    parser.add_argument("--camera", metavar="INPUT", help="the same as a flag: 0, a file or a URL")
    parser.add_argument(
        "-o", "--output", type=Path, help="video to write (default: input name + _anonymized/_restored)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("--restore", action="store_true", help="turn an anonymised video back")
    parser.add_argument("--preview", action="store_true", help="show the result in a window; q or Escape ends")
    parser.add_argument("--sidecar", type=Path, help="what restoring needs (default: beside the anonymised video)")
    parser.add_argument(
        "--seal", action="store_true", help="also keep the originals, encrypted, beside the video; restores exactly"
    )
    parser.add_argument("--seal-quality", type=int, metavar="Q", help="seal as JPEG, 1 to 100 (default: lossless)")
    parser.add_argument(
        "--register",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="remember the salt, never the factors, in case the sidecar gets lost: python -m mfm_edge.register",
    )
    parser.add_argument("--keep-factors", choices=VAULTS, help="keep the factors in the register, encrypted so")
    parser.add_argument("--password-file", type=Path, help="read the password from this file's first line")
    parser.add_argument("--crf", type=int, default=18, help="H.264 quality, 0 (lossless) to 51 (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="threads for the network (default: all cores)")
    factors = parser.add_argument_group("factors beside the password, the same ones for restoring")
    factors.add_argument("--hair", choices=get_args(Hair))
    factors.add_argument("--gender", choices=get_args(Gender))
    factors.add_argument("--age", choices=get_args(Age))
    for name in _SWITCHES:
        factors.add_argument(f"--{name.replace('_', '-')}", action=argparse.BooleanOptionalAction, default=None)
    options = parser.parse_args(arguments)
    if (options.input is None) == (options.camera is None):
        parser.error("takes one input: a camera index, a video file or a URL, for example --camera 0")
    options.input = options.camera if options.input is None else options.input
    return options


def _run(options: argparse.Namespace) -> int:
    output = _output_path(options)
    sidecar = _sidecar_path(options, output)
    seal = _seal_path(options, output)
    _check_paths(options, {"output": output} | ({} if options.restore else {"sidecar": sidecar, "seal": seal}))
    with ExitStack() as opened:
        source = opened.enter_context(open_source(options.input))
        names = ("hair", "gender", "age", *_SWITCHES)
        factors = Factors.from_mapping(
            {"password": _password(options), **{name: getattr(options, name) for name in names}}
        )
        register = _register(options)
        runtime = MfmRuntime(threads=options.threads)
        preview = Preview(f"mfm_edge: {source.name}") if options.preview else None
        if preview is not None:
            opened.callback(preview.close)
        if options.restore and sidecar is None:
            _say(f"warning: {source.name} has no sidecar: faces are detected again, restored less exactly")
        stop = opened.enter_context(_stopping(source))
        progress = opened.enter_context(_progress(source))
        monitor = Monitor(progress=progress, stop=lambda: stop.signal is not None, preview=preview)
        try:
            if options.restore:
                summary = restore_video(
                    runtime, source, factors, output=output, sidecar=sidecar, crf=options.crf, seal=seal,
                    register=register, monitor=monitor,
                )  # fmt: skip
            else:
                summary = anonymize_video(
                    runtime, source, factors, output=output, sidecar=sidecar, crf=options.crf, seal=seal,
                    seal_quality=options.seal_quality, register=register, monitor=monitor,
                )  # fmt: skip
        except SourceError as error:
            kept = f"; {output} keeps what came before" if output is not None and output.is_file() else ""
            raise SourceError(f"{error}{kept}") from None
    _report(options, source, summary, output, sidecar, seal)
    # Ending a live source is how one ends it; a recording that was not processed to its end is incomplete.
    return 128 + stop.signal if stop.signal is not None and not source.live else 0


def _output_path(options: argparse.Namespace) -> Path | None:
    if options.output is not None:
        return Path(options.output)
    path = Path(options.input)
    suffix = "_restored" if options.restore else "_anonymized"
    if path.is_file():
        known = path.suffix if path.suffix.lower() in (".mp4", ".m4v", ".mov", ".mkv") else ".mp4"
        return path.with_name(path.stem.removesuffix("_anonymized") + suffix + known)
    if options.preview:  # a live source that is only to be seen
        return None
    return Path(("camera" + options.input if options.input.isdigit() else "stream") + suffix + ".mp4")


def _sidecar_path(options: argparse.Namespace, output: Path | None) -> Path | None:
    if options.sidecar is not None:
        return Path(options.sidecar)
    if not options.restore:
        return None if output is None else sidecar_of(output)
    beside = sidecar_of(Path(options.input))
    return beside if beside.is_file() else None


def _seal_path(options: argparse.Namespace, output: Path | None) -> Path | None:
    if not options.seal:
        if options.restore and seal_of(Path(options.input)).is_file():
            _say(f"notice: {seal_of(Path(options.input))} holds the originals, --seal puts them back exactly")
        return None
    video = Path(options.input) if options.restore else output
    if video is None:
        raise ArgumentError("--seal: there is no video to seal beside, takes -o")
    return seal_of(video)


def _register(options: argparse.Namespace) -> Register | None:
    keep = None if options.restore else options.keep_factors
    if not options.register:
        if keep is not None:
            raise ArgumentError("--keep-factors: got --no-register beside it, takes the register")
        return None
    register = Register(vault=None if keep is None else open_vault(keep, new=True))
    if not options.restore:
        try:
            register.check()
        except RegisterError as error:
            if keep is not None:
                raise
            _say(f"notice: {error}: this stream is not remembered")
            return None
    return register


def _check_paths(options: argparse.Namespace, written: dict[str, Path | None]) -> None:
    for name, path in written.items():
        if path is None or not path.exists():
            continue
        if Path(options.input).exists() and path.samefile(options.input):
            raise ArgumentError(f"{name}: got {path}, the input itself, takes another file")
        if path.is_file() and not options.overwrite:
            raise ArgumentError(f"{name}: {path} exists already, takes a new name or --overwrite")


def _password(options: argparse.Namespace) -> str:
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
    if not options.restore and getpass.getpass("Password again: ") != password:
        raise FactorError("password: the two entries differ")
    return password


@dataclass(slots=True)
class _Stop:
    signal: int | None = field(default=None)


@contextmanager
def _stopping(source: Source) -> Iterator[_Stop]:
    """Ctrl-C and SIGTERM end after the frame at hand; a second one ends at once."""
    stop = _Stop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, _frame: FrameType | None) -> None:
        stop.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)
        if source.live:
            source.close()  # wakes the reader, which may wait for a camera that hangs

    try:
        for number in before:
            signal.signal(number, handle)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(source: Source) -> Iterator[Callable[[], object]]:
    from tqdm import tqdm

    with tqdm(
        total=source.frame_count,
        unit=" frames",
        desc=source.name.rsplit("/", 1)[-1],
        leave=False,
        file=sys.stderr,
        mininterval=0.1 if sys.stderr.isatty() else 10.0,  # a log file wants few lines
    ) as bar:
        yield bar.update


def _report(
    options: argparse.Namespace,
    source: Source,
    summary: Summary,
    output: Path | None,
    sidecar: Path | None,
    seal: Path | None,
) -> None:
    for notice in summary.notices:
        _say(f"notice: {notice}")
    for count, what in (
        (source.dropped, "frames dropped, the source was faster"),
        (source.corrupt, "corrupt packets left out"),
        (summary.incidents, "incidents: frames covered more than their faces needed"),
        (
            summary.covered,
            f"faces covered (too small or uncertain), which {'only the seal' if seal else 'no password'} restores",
        ),
        (summary.detected_again if options.restore and sidecar else 0, "frames without a record, faces detected again"),
    ):
        if count:
            _say(f"notice: {count} {what}")
    done = "restored" if options.restore else "anonymised"
    rate = f"{summary.frames_per_second:.1f} frames/s"
    print(f"{done} {summary.frames} frames with {summary.faces} faces at {rate}" + (", stopped" * summary.stopped))
    if output is not None:
        print(f"video    {output}")
    if sidecar is not None and not options.restore:
        print(f"sidecar  {sidecar}")
    if seal is not None and not options.restore:
        print(f"seal     {seal}")


def _say(text: str) -> None:
    print(f"mfm_edge.stream: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
