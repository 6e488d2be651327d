"""python -m benchmarks.attacks: how often attackers who have all but the factors recognise or restore a person.

    python -m benchmarks.attacks --people 40 --pairs 40                                 a look, some minutes
    python -m benchmarks.attacks --people 500 --pairs 100000 --json benchmarks/results/attacks.json

Needs the training extra, the data set and the recognisers (training/README.md). Every row counts: hits of pairs, the
share and its 95 % interval. Not here: a trained inversion network, and one trained to tell right factors from wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.attacks.guesses import guessed_codes, guessed_factors
from benchmarks.attacks.inversion import inverted
from benchmarks.attacks.setting import Row, Setting
from benchmarks.attacks.surrogates import averaged, identified, linked
from mfm_edge.engine.onnx import SHIPPED_MODEL

ATTACKS = ("factors", "codes", "averaging", "linking", "identification", "inversion")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.attacks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/celeba"), help="folder with val-*.parquet")
    parser.add_argument("--models", type=Path, help="folder of the recognisers (default: ../../models of data)")
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL, help="folder of the exported network")
    parser.add_argument("--people", type=int, default=40, help="with two photos each (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=40, help="guesses of each kind (default: %(default)s)")
    parser.add_argument("--streams", type=int, default=8, help="surrogates to average (default: %(default)s)")
    parser.add_argument("--only", choices=ATTACKS, nargs="+", default=ATTACKS, help="some of the attacks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()
    models = options.models or options.data.resolve().parent.parent / "models"
    setting = Setting.load(options.data, models, options.model, options.people)
    rng = np.random.default_rng(options.seed)
    attacks: dict[str, Callable[[], list[Row]]] = {
        "factors": lambda: guessed_factors(setting, options.pairs, rng),
        "codes": lambda: guessed_codes(setting, options.pairs, rng),
        "averaging": lambda: averaged(setting, options.streams),
        "linking": lambda: linked(setting),
        "identification": lambda: identified(setting),
        "inversion": lambda: inverted(setting),
    }
    rows: list[Row] = []
    started = time.perf_counter()
    for name in options.only:
        rows += attacks[name]()
        print(f"{name}: done after {time.perf_counter() - started:.0f} s", file=sys.stderr)
    print(to_text(rows))
    if options.json is not None:
        sizes = {"people": options.people, "pairs": options.pairs, "streams": options.streams, "seed": options.seed}
        result = {"model_id": setting.engine.model_id, **sizes, "rows": [row.to_mapping() for row in rows]}
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def to_text(rows: list[Row]) -> str:
    """The table as plain text."""
    width = max(len(row.attack) for row in rows)
    lines = [f"{'attack':{width}}  {'recogniser':13}  {'hits':>13}  {'share':>6}  95 % interval   goal"]
    for row in rows:
        low, high = row.interval
        goal = "" if row.goal is None else f"<= {row.goal:g}"
        lines.append(
            f"{row.attack:{width}}  {row.judge:13}  {row.hits:>6}/{row.pairs:<6}  {row.share:6.3f}  "
            f"{low:.4f}-{high:.4f}   {goal}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
