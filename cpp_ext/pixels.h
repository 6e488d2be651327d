// Faces on their way into the network and out of it: interleaved levels to planes of floats, and back.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mfm {

// pixels: batch x plane x 3, blue, green, red. planes: batch x 3 x plane, red, green, blue, -1..1. Contiguous, apart.
void to_planes(const std::uint8_t* pixels, float* planes, std::size_t batch, std::size_t plane) noexcept;

// The same the other way round, rounded half to even. Beyond -1..1 it is the nearest level, and 0 for what is no number.
void to_pixels(const float* planes, std::uint8_t* pixels, std::size_t batch, std::size_t plane) noexcept;

}  // namespace mfm
