import numpy as np
from numpy.typing import NDArray

SOURCE_HASH: str

def repeat_add(content: NDArray[np.float32], style: NDArray[np.float32], out: NDArray[np.float32]) -> None: ...
def blend_layer(frame: NDArray[np.uint8], layer: NDArray[np.float32], matrix: NDArray[np.float64]) -> None: ...
