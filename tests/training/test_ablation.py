"""What measures variants runs networks as engines do; the command goes from a packed state to a report."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mfm_edge.factors import Factors
from training.ablation import VARIANTS, main
from training.config import Weights
from training.experiments.subject import key_of, modify
from training.experiments.unexported import UnexportedEngine
from training.keys import Keys
from training.networks import Modifier

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"


def test_a_network_runs_as_it_does_in_training(faces, space):
    torch.manual_seed(0)
    network, some, key = Modifier(space).eval(), faces.take(slice(2)), key_of(Factors("same"))
    found = modify(UnexportedEngine(network), some.crops, some.landmarks, [key])
    x = torch.from_numpy(some.crops).permute(0, 3, 1, 2).float() / 127.5 - 1
    names = [name for name in Keys.__slots__ if name != "attributes"]
    inputs = [torch.from_numpy(getattr(key, name))[None].expand(2, *[-1] * getattr(key, name).ndim) for name in names]
    with torch.no_grad():
        y = network(x, torch.from_numpy(some.landmarks), *inputs)
    expected = ((y.clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(found - expected).max() <= 1 and (found != some.crops).mean() > 0.1


def test_variants_are_changes_of_what_ships_and_no_two_are_alike():
    assert VARIANTS["start"] is None and VARIANTS["shipped"] == Weights()
    assert len(set(VARIANTS.values())) == len(VARIANTS)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data" / "celeba").is_dir(), reason="needs ../shared/data/celeba")
def test_the_command_trains_measures_and_does_nothing_twice(tmp_path):
    command = ["--data", str(SHARED / "data" / "celeba"), "--start", str(ROOT / "training" / "state" / "mfm.pt")]
    command += ["--steps", "2", "--faces", "4", "--limit", "200", "--batch", "4", "--out", str(tmp_path)]
    main([*command, "--only", "start", "information-wrong"])
    once = (tmp_path / "information-wrong" / "checkpoint.pt").stat().st_mtime_ns
    main([*command, "--only", "start", "information-wrong", "no-push"])
    assert (tmp_path / "information-wrong" / "checkpoint.pt").stat().st_mtime_ns == once
    variants, measured = json.loads((tmp_path / "report.json").read_text())["sections"][0]["tables"]
    assert [row[2] for row in variants["rows"]] == ["0", "2", "2"]
    assert variants["rows"][1][1] == "information_wrong 0 -> 2"
    row = next(row for row in measured["rows"] if row[0] == "restored PSNR, dB (median)")
    assert len(row) == 4 and min(row[1:]) > 25
