"""What several files check with."""

from __future__ import annotations

import pytest

from mfm_edge.factors import derive_secret
from mfm_edge.style import StyleKey, expand


@pytest.fixture(scope="session")
def keys() -> list[StyleKey]:
    """Of one stream, as export.verify takes them."""
    from export.verify import FACTORS  # needs torch, without which the tests skip themselves

    return [expand(derive_secret(factors), factors.attribute_vector()) for factors in FACTORS[:1]]
