#include "pixels.h"

#include <algorithm>
#include <cstring>

#include "vector_clones.h"

namespace mfm {
namespace {

// Compilers vectorise arithmetic, but not steps of three bytes: each block is a word a pixel in between.
constexpr std::size_t BLOCK = 256;

inline float to_value(std::uint32_t level) noexcept {
    return static_cast<float>(static_cast<std::int32_t>(level)) * static_cast<float>(1 / 127.5) - 1.0f;
}

inline std::uint32_t to_level(float value) noexcept {
    float level = (value + 1.0f) * 127.5f;
    level = level > 0.0f ? level : 0.0f;
    level = level < 255.0f ? level : 255.0f;
    // At 1.5 * 2^23 floats are whole numbers, so that the sum is rounded; its lowest bits are the number. SSE2 has no
    // other rounding that a compiler would vectorise.
    level += 12582912.0f;
    std::uint32_t bits;
    std::memcpy(&bits, &level, sizeof bits);
    return bits & 255;
}

}  // namespace

MFM_CLONES
void to_planes(const std::uint8_t* pixels, float* planes, std::size_t batch, std::size_t plane) noexcept {
    std::uint32_t words[BLOCK];
    for (std::size_t n = 0; n < batch; ++n, planes += 3 * plane) {
        for (std::size_t start = 0; start < plane; start += BLOCK) {
            const std::size_t count = std::min(BLOCK, plane - start);
            float *red = planes + start, *green = red + plane, *blue = green + plane;
            for (std::size_t i = 0; i < count; ++i, pixels += 3)
                words[i] = pixels[0] | std::uint32_t{pixels[1]} << 8 | std::uint32_t{pixels[2]} << 16;
            for (std::size_t i = 0; i < count; ++i) red[i] = to_value(words[i] >> 16);
            for (std::size_t i = 0; i < count; ++i) green[i] = to_value(words[i] >> 8 & 255);
            for (std::size_t i = 0; i < count; ++i) blue[i] = to_value(words[i] & 255);
        }
    }
}

MFM_CLONES
void to_pixels(const float* planes, std::uint8_t* pixels, std::size_t batch, std::size_t plane) noexcept {
    std::uint32_t words[BLOCK];
    for (std::size_t n = 0; n < batch; ++n, planes += 3 * plane) {
        for (std::size_t start = 0; start < plane; start += BLOCK) {
            const std::size_t count = std::min(BLOCK, plane - start);
            const float *red = planes + start, *green = red + plane, *blue = green + plane;
            for (std::size_t i = 0; i < count; ++i)
                words[i] = to_level(blue[i]) | to_level(green[i]) << 8 | to_level(red[i]) << 16;
            for (std::size_t i = 0; i < count; ++i, pixels += 3) {
                pixels[0] = static_cast<std::uint8_t>(words[i]);
                pixels[1] = static_cast<std::uint8_t>(words[i] >> 8);
                pixels[2] = static_cast<std::uint8_t>(words[i] >> 16);
            }
        }
    }
}

}  // namespace mfm
