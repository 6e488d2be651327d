// The end of the pipeline: a warped layer blended into the frame it came from, touching only the pixels it covers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mfm {

// For every frame pixel (x, y) that falls onto the layer: frame += weight * (layer - frame), rounded half up.
//
// frame:  height x width x 3, contiguous, changed in place.
// layer:  side x side x 4, contiguous: three colours in 0..255 and the weight in 0..1; sampled bilinearly. side >= 2.
// matrix: u = m[0] x + m[1] y + m[2], v = m[3] x + m[4] y + m[5]; frame px -> layer px, finite.
void blend_layer(std::uint8_t* frame, std::size_t height, std::size_t width, const float* layer, std::size_t side,
                 const double matrix[6]) noexcept;

}  // namespace mfm
