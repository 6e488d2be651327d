"""Everything that a step computes with lies on the trainer's device: on a pretended one, since there is no GPU here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from mfm_edge.style import IDENTITY
from training.config import Config, Weights
from training.identity import IdentitySpace
from training.phase1 import Phase1, StyleClassifier
from training.phase2 import Trainer
from training.processes import Processes
from training.recogniser import FEATURE_CHANNELS, View
from training.train import sample_picture

ELSEWHERE = torch.device("meta")


class Elsewhere(torch.Tensor):
    """A tensor that says that it is on ELSEWHERE. Its numbers are on the processor, where nobody can see them."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, real: torch.Tensor) -> Elsewhere:
        made = torch.Tensor._make_wrapper_subclass(
            cls, real.shape, strides=real.stride(), dtype=real.dtype, device=ELSEWHERE
        )
        made.real_one = real
        return made

    def __repr__(self) -> str:
        return f"Elsewhere{tuple(self.shape)}"

    def new_tensor(self, numbers: list[float]) -> torch.Tensor:  # torch's own would lose the numbers
        return torch.tensor(numbers, dtype=self.dtype).to(ELSEWHERE)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


class Pretend(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def compute(func, args, kwargs):
    """As a GPU would: tensors of both devices together are refused, but for copies, single numbers and indices."""
    tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, torch.Tensor)]
    away = any(isinstance(tensor, Elsewhere) for tensor in tensors)
    name = func.overloadpacket.__name__
    here = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere) and tensor.dim()]
    if away and here and name not in ("copy_", "index"):
        raise RuntimeError(f"{name}: a tensor {tuple(here[0].shape)} is on the processor, others are not")
    asked = kwargs.get("device")
    real = {**kwargs, "device": torch.device("cpu")} if asked is not None else kwargs
    found = func(*tree_map_only(Elsewhere, lambda t: t.real_one, args),
                 **tree_map_only(Elsewhere, lambda t: t.real_one, real))  # fmt: skip
    if func._schema.is_mutable and "out" not in kwargs:
        return args[0] if isinstance(found, torch.Tensor) else found
    if "out" in kwargs:
        return kwargs["out"]
    if away if asked is None else torch.device(asked).type == ELSEWHERE.type:
        return tree_map_only(torch.Tensor, Elsewhere, found)
    return found


@contextmanager
def pretended() -> Iterator[Processes]:
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with Pretend():
            yield Processes(device=ELSEWHERE)
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrite)


class SmallRecogniser(torch.nn.Module):
    """Stands in for dlib's: an embedding and three feature maps, seen through the view's own crop of the face."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = torch.nn.ModuleList(
            torch.nn.Conv2d(before, after, 3, stride, 1)
            for before, after, stride in zip((3, *FEATURE_CHANNELS), FEATURE_CHANNELS, (4, 2, 2), strict=False)
        )
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor, view: View) -> tuple[torch.Tensor, list[torch.Tensor]]:
        grid = torch.nn.functional.affine_grid(view.theta, [len(x), 3, 128, 128], align_corners=False)
        x = torch.nn.functional.grid_sample(x * view.gain + view.offset * view.saturation, grid, align_corners=False)
        features = []
        for layer in self.maps:
            x = layer(x).relu()
            features.append(x)
        return x.mean((2, 3)), features


def test_the_pretended_device_refuses_what_a_gpu_would():
    with pretended() as processes:
        a = torch.ones(3).to(processes.device)
        assert a.device == ELSEWHERE and (a + a).device == ELSEWHERE and float((a + a * 2.0).sum()) == 9
        assert a.cpu().device.type == "cpu" and a.cpu().numpy().sum() == 3
        with pytest.raises(RuntimeError, match="on the processor"):
            a + torch.ones(3)
        with pytest.raises((TypeError, RuntimeError)):
            a.numpy()


def test_a_training_step_keeps_everything_on_its_device(faces, space, tmp_path):
    config = Config(batch=4, weights=replace(Weights(), adv=1, domain_cls=1, information_anonymised=1))
    torch.manual_seed(0)
    classifier = StyleClassifier(300).requires_grad_(False)
    with pretended() as processes:
        identity = IdentitySpace(torch.randn(18, 128), torch.randn(128, IDENTITY))
        trainer = Trainer(faces, Phase1(space, identity, classifier), SmallRecogniser(), config, processes)
        values = [trainer.step() for _ in range(3)]  # one of every turn
        assert all(np.isfinite(list(v.values())).all() for v in values)
        assert all(parameter.device == ELSEWHERE for parameter in trainer.modifier.parameters())
        sample_picture(trainer.average, faces.take(slice(0, 1)), tmp_path / "sample.png")
    assert (tmp_path / "sample.png").stat().st_size > 1000
