// The method's core: a style code repeated over the channels of a content latent and added to it.
#pragma once

#include <cstddef>

namespace mfm {

// out[n, c, i] = content[n, c, i] + style[n, i], for all n < batch, c < channels, i < plane.
// All arrays are contiguous float32. out may be content itself, and must not overlap anything otherwise.
void repeat_add(const float* content, const float* style, float* out, std::size_t batch, std::size_t channels,
                std::size_t plane) noexcept;

}  // namespace mfm
