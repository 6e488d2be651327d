"""What several files check with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mfm_edge.factors import derive_secret
from mfm_edge.style import expand

if TYPE_CHECKING:  # the tests that need torch skip themselves where it is missing
    from mfm_edge.style import StyleKey


@pytest.fixture(scope="session")
def keys() -> list[StyleKey]:
    """Of one stream, as export.verify takes them."""
    from export.verify import FACTORS

    return [expand(derive_secret(factors), factors.attribute_vector()) for factors in FACTORS[:1]]
