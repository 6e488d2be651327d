"""The last touch learns, and nothing else: on random pictures, without the data that is handed over."""

from pathlib import Path

import numpy as np
import pytest
import torch

from training.config import Config
from training.data import load_faces
from training.fit_person import VARIED
from training.networks import Modifier
from training.phase1 import Phase1
from training.phase3 import main, restored, run_phase3, score
from training.recogniser import Recogniser
from training.state import unpack

SHARED = Path(__file__).parents[3] / "shared"
STATE = Path(__file__).parents[2] / "training" / "state" / "mfm.pt"  # not part of what is installed
needs_data = pytest.mark.skipif(not (SHARED / "data" / "celeba").is_dir(), reason="needs ../shared/data/celeba")
CONFIG = Config(batch=4, phase3_shelf=8, phase3_looks=2)


@pytest.fixture
def modifier(space) -> Modifier:
    torch.manual_seed(0)
    return Modifier(space).eval()


def test_without_frames_a_face_comes_back_but_for_rounding(modifier, faces):
    modifier.style_encoder.person.variety.mul_(1.5 / VARIED)  # nobody so far out that much is clipped
    shown = restored(modifier, faces, np.random.default_rng(0), CONFIG, alone=True)
    assert score(modifier, shown).min() > 35


def test_frames_and_codecs_leave_less(modifier, faces):
    rng = np.random.default_rng(0)
    alone, framed = (restored(modifier, faces, rng, CONFIG, alone=alone) for alone in (True, False))
    assert score(modifier, framed).mean() < score(modifier, alone).mean() - 5


def test_only_the_last_touch_learns(modifier, faces):
    before = {name: weights.clone() for name, weights in modifier.state_dict().items()}
    lines = list(run_phase3(modifier, faces, faces, CONFIG, minutes=0.1))
    assert len(lines) >= 2 and all("dB from frames" in line for line in lines)
    changed = {name for name, w in modifier.state_dict().items() if not torch.equal(w, before[name])}
    assert changed and all(name.startswith("decoder.finish.") for name in changed)


@needs_data
def test_a_run_gets_it_and_keeps_all_else(faces, tmp_path):
    phase1 = Phase1.train(faces, Recogniser(SHARED / "models"), Config(phase1_steps=2))
    torch.save(phase1.state(), tmp_path / "phase1.pt")
    weights = Modifier(phase1.space).state_dict()
    networks = {name: {k: w.clone() for k, w in weights.items()} for name in ("average", "modifier")}
    torch.save({"steps": 7, "rng": "as it was", **networks}, tmp_path / "checkpoint.pt")
    main(["--data", str(SHARED / "data" / "celeba"), "--run", str(tmp_path), "--minutes", "0.05", "--limit", "240"])
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=False)
    assert after["steps"] == 7 and after["rng"] == "as it was" and not list(tmp_path.glob("*.partial"))
    for name in ("average", "modifier"):
        changed = {k for k, w in after[name].items() if not torch.equal(w, weights[k])}
        assert changed and all(k.startswith("decoder.finish.") for k in changed)


@needs_data
@torch.no_grad()
def test_what_ships_takes_off_what_codecs_leave_and_spoils_nothing_else():
    """On people whom the training never saw."""
    networks, phase1 = unpack(STATE)
    modifier = Modifier(Phase1.load(phase1).space).eval()
    modifier.load_state_dict(networks["modifier"])
    unseen, rng = load_faces(SHARED / "data" / "celeba", "val", limit=300), np.random.default_rng(2)
    alone = [restored(modifier, unseen, rng, CONFIG, alone=True) for _ in range(4)]
    framed = [restored(modifier, unseen, rng, CONFIG, alone=False) for _ in range(12)]
    with_it = [torch.cat([score(modifier, batch) for batch in batches]) for batches in (alone, framed)]
    finish = modifier.decoder.finish
    for last in (finish.light[-1], finish.colour):
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0] * (len(last.bias) - 1) + [-100]))
    without = [torch.cat([score(modifier, batch) for batch in batches]) for batches in (alone, framed)]
    assert (with_it[1] - without[1]).mean() > 1.0
    assert (with_it[0] - without[0]).mean() > -0.5
