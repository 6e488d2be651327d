"""python -m benchmarks.attacks: how often attackers who have all but the factors recognise or restore a person.

    python -m benchmarks.attacks --people 40 --pairs 400                                a look, some minutes
    python -m benchmarks.attacks --people 500 --minutes 10 --publish

Needs the training extra, the data set and the recognisers (training/README.md). Every row counts: hits of pairs, the
share and its 95 % interval. Guesses are logged one by one and go on where they were stopped, until there are --pairs of
them (--log benchmarks/results/attacks --people 500: those so far of the network that results/attacks.json names):
factors get four fifths of the minutes, codes one. All other attacks are small, and run first. Not here: a trained
inversion network, and one trained to tell right factors from wrong (python -m training.evaluate).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import report
from benchmarks.attacks.counts import Row, to_markdown, to_text
from benchmarks.attacks.guesses import CODES, FACTORS
from benchmarks.attacks.key_recovery import recovered
from benchmarks.attacks.learning import inverted, recognised
from benchmarks.attacks.setting import Setting
from benchmarks.attacks.surrogates import averaged, identified, linked
from benchmarks.attacks.trials import GOAL, Trials
from mfm_edge.engine.onnx import SHIPPED_MODEL
from training.data import models_of

NAME = "attacks"
RESULT, DOCUMENT = report.RESULTS / f"{NAME}.json", report.ROOT / "docs" / "security.md"
GUESSES = ("factors", "codes")
ATTACKS = (*GUESSES, "key", "averaging", "linking", "identification", "learning", "inversion")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.attacks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/celeba"), help="folder with val-*.parquet")
    parser.add_argument("--models", type=Path, help="folder of the recognisers (default: ../../models of data)")
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL, help="folder of the exported network")
    parser.add_argument("--people", type=int, default=40, help="who are guessed for (default: %(default)s)")
    parser.add_argument("--few", type=int, default=100, help="of them, for all other attacks (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=100_000, help="wrong guesses of factors, and as many of codes "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=10.0, help="for guesses, in this run (default: %(default)g)")
    parser.add_argument("--streams", type=int, default=8, help="surrogates to average (default: %(default)s)")
    parser.add_argument("--only", choices=ATTACKS, nargs="+", default=ATTACKS, help="some of the attacks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, default=Path("runs/attacks"), help="folder of the guesses' logs "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--json", type=Path, help="also write the rows here")
    parser.add_argument("--publish", action="store_true", help=f"write {RESULT.name} and the table in {DOCUMENT.name}")
    options = parser.parse_args()
    if options.publish and set(options.only) != set(ATTACKS):
        parser.error("--publish takes all attacks, not --only some of them")
    models = options.models or models_of(options.data)
    setting = Setting.load(options.data, models, options.model, options.people)
    few = setting.few(options.few)

    def guessed(name: str, share: float) -> list[Row]:
        if name == "factors":
            trials = Trials(setting, FACTORS, log_of(name), seed=options.seed, each=8, goal=GOAL)
        else:
            trials = Trials(setting, CODES, log_of(name), what="code", seed=options.seed)
        trials.run(seconds=60 * share * options.minutes, pairs=options.pairs)
        return trials.rows()

    def log_of(name: str) -> Path:
        return Path(options.log / f"{name}-{setting.engine.model_id}-{options.people}-{options.seed}.jsonl")

    both = set(GUESSES) <= set(options.only)
    attacks: dict[str, Callable[[], list[Row]]] = {
        "averaging": lambda: averaged(few, options.streams),
        "linking": lambda: linked(few),
        "identification": lambda: identified(few),
        "learning": lambda: recognised(few),
        "inversion": lambda: inverted(few),
        "key": lambda: recovered(few),
        "factors": lambda: guessed("factors", 0.8 if both else 1.0),
        "codes": lambda: guessed("codes", 0.2 if both else 1.0),
    }
    found: dict[str, list[Row]] = {}
    started = time.perf_counter()
    for name in sorted(options.only, key=lambda name: name in GUESSES):  # these last
        found[name] = attacks[name]()
        print(f"{name}: done after {time.perf_counter() - started:.0f} s", file=sys.stderr)
    rows = [row for name in ATTACKS for row in found.get(name, [])]
    print(to_text(rows))
    for path in [options.json] * (options.json is not None) + [RESULT] * options.publish:
        sizes = {"people": options.people, "few": len(few.first), "streams": options.streams, "seed": options.seed}
        result = {"model_id": setting.engine.model_id, **sizes, "rows": [row.to_mapping() for row in rows]}
        path.write_text(json.dumps(result, indent=1) + "\n")
    if options.publish:
        publish(rows, DOCUMENT, model_id=setting.engine.model_id)
    return 0


def publish(rows: list[Row], document: Path, *, model_id: str) -> None:
    """Write the table between the document's markers."""
    told = f"Of network {model_id}, in per cent of the pairs, with 95 % intervals in brackets.\n\n{to_markdown(rows)}\n"
    report.publish(NAME, f"{told}\nWritten by `python -m benchmarks.attacks --publish`.", document)


if __name__ == "__main__":
    sys.exit(main())
