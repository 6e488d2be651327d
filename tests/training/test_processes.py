"""Training on several processes: equal weights, faces of each one's own, and files from the first alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.processes import Processes

SHARED = Path(__file__).parents[3] / "shared"
SCRIPT = Path(__file__).with_name("two_processes.py")


def test_gradients_become_their_mean_where_there_are_any(monkeypatch):
    """With a second process that has ones everywhere."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 2, 3)).to(
        memory_format=torch.channels_last
    )
    network[1].requires_grad_(False)
    network(torch.randn(2, 3, 8, 8)).square().mean().backward()
    expected = [(parameter.grad + 1) / 2 for parameter in network[0].parameters()]
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor.add_(1))
    Processes(rank=1, count=2).average(network.parameters())
    torch.testing.assert_close([parameter.grad for parameter in network[0].parameters()], expected)
    assert all(parameter.grad is None for parameter in network[1].parameters())


def test_one_process_alone_neither_sends_nor_changes_anything(monkeypatch):
    for name in ("all_reduce", "broadcast", "barrier"):
        monkeypatch.delattr(torch.distributed, name)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    alone, layer = Processes.join(), torch.nn.Linear(2, 2)
    layer(torch.ones(2)).sum().backward()
    gradient = layer.weight.grad
    before = gradient.clone()
    alone.average(layer.parameters())
    alone.as_first([layer])
    alone.wait()
    alone.leave()
    assert layer.weight.grad is gradient and torch.equal(gradient, before)
    assert alone.agree(0.3) == 0.3 and alone.first


def test_one_alone_stops_at_once_and_several_after_their_step():
    with pytest.raises(KeyboardInterrupt):
        Processes().interrupt(signal.SIGTERM, None)
    several = Processes(rank=0, count=2)
    several.interrupt(signal.SIGTERM, None)
    assert several.interrupted


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data" / "celeba").is_dir(), reason="needs ../shared/data/celeba")
def test_two_processes_end_with_equal_weights(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", str(SCRIPT)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, str(SHARED), str(tmp_path)], env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=False) for rank in range(2))
    for name in ("modifier", "average", "discriminators", "information"):
        for (key, a), b in zip(one[name].items(), two[name].values(), strict=True):
            if name != "information" or "." in key:  # but not the scale of embeddings: each follows its own faces
                assert torch.equal(a, b), (name, key)
    changed = [not torch.equal(a, b) for a, b in zip(one["begun"].values(), one["modifier"].values(), strict=True)]
    assert any(changed)
    assert (one["faces"] != two["faces"]).any()
    assert one["steps"] == two["steps"] == 3  # the second stopped because the first one was asked to
    assert (tmp_path / "checkpoint.pt").exists() and len(list(tmp_path.glob("sample-*.png"))) == 3
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=False)["steps"] == 3
