import pytest
import torch

from training import state
from training.state import pack, unpack


@pytest.fixture
def run(tmp_path):
    weights = {"w": torch.randn(8, 8), "count": torch.tensor(3)}
    checkpoint = {"steps": 7, "average": weights, "modifier": {}, "discriminators": weights, "optimiser": {}}
    torch.save(checkpoint, tmp_path / "checkpoint.pt")
    phase1 = {
        "classifier": weights,
        "identity": {"expected": torch.randn(3, 4), "analysis": torch.randn(4, 2)},
        "analysis": torch.randn(4, 2),
        "synthesis": torch.randn(2, 4),
        "rest": torch.randn(4, 1),
        **{f"{name}_axes": torch.randn(3, 3).half() for name in ("coarse", "fine", "colour")},
        **{f"{name}_spread": torch.rand(3) for name in ("coarse", "fine", "colour")},
    }
    torch.save(phase1, tmp_path / "phase1.pt")
    return tmp_path


def test_state_comes_back_the_style_space_exactly(run):
    pack(run, run / "packed.pt")
    networks, phase1 = unpack(run / "packed.pt")
    before = torch.load(run / "checkpoint.pt")
    assert networks["steps"] == 7
    torch.testing.assert_close(networks["modifier"]["w"], before["average"]["w"], atol=1e-2, rtol=1e-3)
    assert networks["modifier"]["w"].dtype == torch.float32 and networks["modifier"]["count"] == 3
    assert "classifier" not in phase1 and phase1["identity"]["analysis"].dtype == torch.float32
    for name in ("analysis", "synthesis", "rest", "coarse_axes", "fine_axes", "colour_axes", "fine_spread"):
        assert torch.equal(phase1[name], torch.load(run / "phase1.pt")[name])


def test_a_state_that_grew_too_large_leaves_the_old_one(run, monkeypatch):
    pack(run, run / "packed.pt")
    old = (run / "packed.pt").read_bytes()
    monkeypatch.setattr(state, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="at most 100"):
        pack(run, run / "packed.pt")
    assert (run / "packed.pt").read_bytes() == old
    assert not list(run.glob("*.partial"))
