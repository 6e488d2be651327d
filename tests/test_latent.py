"""mfm_edge.latent: the native repeat-and-add against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm_edge.errors import ArgumentError
from mfm_edge.latent import repeat_add, repeat_add_reference


@settings(deadline=None, max_examples=40)
@given(shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 33), st.integers(1, 17)))
def test_equals_the_reference_bit_for_bit(shape: tuple[int, int, int, int]) -> None:
    rng = np.random.default_rng(0)
    content = rng.normal(size=shape).astype(np.float32)
    style = rng.normal(size=(shape[0], shape[2] * shape[3])).astype(np.float32)
    expected = repeat_add_reference(content, style, np.empty_like(content))
    np.testing.assert_array_equal(repeat_add(content, style), expected)
    in_place = content.copy()
    assert repeat_add(in_place, style, in_place) is in_place
    np.testing.assert_array_equal(in_place, expected)


def test_every_channel_gets_the_same_code() -> None:
    out = repeat_add(np.zeros((2, 256, 32, 32), np.float32), np.arange(2048, dtype=np.float32).reshape(2, 1024))
    assert (out[1, 7] == np.arange(1024, 2048).reshape(32, 32)).all()
    assert (out == out[:, :1]).all()


def test_bad_arguments_are_named() -> None:
    content, style = np.zeros((2, 4, 8, 8), np.float32), np.zeros((2, 64), np.float32)
    read_only = np.zeros_like(content)
    read_only.setflags(write=False)
    cases = [
        ("content", (content.astype(np.float64), style)),
        ("content", (content[:, :, ::2], style)),
        ("content", (content[0], style)),
        ("content", ([1.0], style)),
        ("style", (content, style[:, :63])),
        ("style", (content, style[:1])),
        ("style", (content, style.T)),
        ("out", (content, style, np.zeros((2, 4, 8, 9), np.float32))),
        ("out", (content, style, read_only)),
    ]
    for name, arguments in cases:
        with pytest.raises(ArgumentError, match=f"^{name}: got"):
            repeat_add(*arguments)  # type: ignore[arg-type]
    memory = np.zeros(2 * 4 * 64 + 64, np.float32)
    shifted = memory[64:].reshape(content.shape)
    with pytest.raises(ArgumentError, match="out: .*overlaps"):
        repeat_add(memory[:-64].reshape(content.shape), style, shifted)
