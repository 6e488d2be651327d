"""What the person whom a key asks for has beyond coordinates: the shape of eyes, brows, nose and mouth."""

from __future__ import annotations

from torch import Tensor, nn

from training.bands import COARSE, COLOUR, Bands

__all__ = ["Traits"]

COUNT = 150  # of the coarse portion's principal components: those that vary most in faces
STRENGTH = 0.5  # of what they vary by in faces


class Traits(nn.Module):
    """Principal components of coarse detail under signs of the key, at which no mark is left: the mark's of colour.

    Both directions know them, so they are added to what is drawn of a surrogate and taken off it again. Finer
    detail is drawn by a network that sees them.
    """

    def __init__(self, bands: Bands) -> None:
        super().__init__()
        self.bands = bands
        size = STRENGTH * bands.spread(COARSE)
        size[COUNT:] = 0
        self.register_buffer("size", size, persistent=False)

    def leave_out(self, mark: Tensor) -> None:
        """Ask for no traits, in place."""
        mark[:, self.bands.key_places(COLOUR)] = 0

    def forward(self, mark: Tensor) -> Tensor:
        """A key's mark (N,DETAILS), +1 or -1, 0 for nobody's -> coarse portion (N,K) of the person's hidden part."""
        signs = mark[:, self.bands.key_places(COLOUR)][:, : len(self.get_buffer("size"))]
        unfolded: Tensor = self.bands.unfold(COARSE, self.get_buffer("size") * signs)
        return unfolded * self.bands.share
