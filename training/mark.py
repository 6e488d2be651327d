"""The mark that a key leaves on a surrogate, and by which it is known again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mfm_edge.key_evidence import TRUSTED
from training.bands import Bands

__all__ = ["Mark"]

MARKED = 0, 1  # portions, coarse and fine detail: of colour codecs leave too little
NOISE = 0.08  # what codecs leave of noise, of the toned range
LOUDNESS = 0.2  # of the mark where a face is quiet, in NOISE
BOUND = 1.5  # in their usual sizes, beyond which components count alike: single ones are far off
DOUBTED = TRUSTED - 0.6  # standard deviations up to which a key is wrong


class Mark(nn.Module):
    """Added to components of scrambled detail under signs of its own: the louder, the less they vary in faces. There,
    most of it is found for what is seen, and there a component counts most when it is looked for."""

    def __init__(self, bands: Bands) -> None:
        super().__init__()
        self.bands = bands
        for portion in MARKED:
            level = (bands.axes(portion).square().T @ bands.damping(portion).square()).sqrt()  # of damped components
            size = (bands.spread(portion).square() + (NOISE / level).square()).sqrt()  # with a codec's noise
            quiet = (NOISE / level / size).square()
            self.register_buffer(f"size{portion}", size, persistent=False)
            self.register_buffer(f"quiet{portion}", quiet, persistent=False)

    def added(self, portion: int, signs: Tensor) -> Tensor:
        """What is added to a surrogate's components, (N,K), nothing (N,1) to portions without a mark; signs
        (N,DETAILS)."""
        if portion not in MARKED:
            return torch.zeros_like(signs[:, :1])
        loudness = LOUDNESS * self.get_buffer(f"quiet{portion}") * self.get_buffer(f"size{portion}")
        return loudness * signs[:, self.bands.key_places(portion)]

    def evidence(self, components: list[Tensor], signs: Tensor) -> Tensor:
        """(N,K): what components (N,K) each of a surrogate's hidden part say for a key, bounded numbers of length 1
        together: their sum counts in standard deviations, which it is by chance under another key. What several faces
        of a stream say may be added up (mfm_edge/key_evidence.py)."""
        found: list[Tensor] = []
        for portion in MARKED:
            ratio = components[portion] * signs[:, self.bands.key_places(portion)] / self.get_buffer(f"size{portion}")
            found.append(ratio.clamp(-BOUND, BOUND) * self.get_buffer(f"quiet{portion}"))
        evidence = torch.cat(found, 1)
        return evidence / evidence.norm(dim=1, keepdim=True).clamp_min(1e-12)

    @staticmethod
    def trust(evidence: Tensor) -> Tensor:
        """(N,1) in 0..1: how surely a key is that of the surrogate."""
        return ((evidence.sum(1, keepdim=True) - DOUBTED) / (TRUSTED - DOUBTED)).clamp(0, 1)
