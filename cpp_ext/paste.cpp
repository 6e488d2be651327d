#include "paste.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace mfm {
namespace {

// Four channels, one vector register. Plain C++ where the compiler has no vector extension.
#if defined(__GNUC__) || defined(__clang__)
using Vec = float __attribute__((vector_size(16)));
inline Vec splat(float value) noexcept { return Vec{value, value, value, value}; }
#else
struct Vec {
    float lane[4];
    float operator[](int i) const noexcept { return lane[i]; }
};
inline Vec splat(float value) noexcept { return {{value, value, value, value}}; }
inline Vec operator+(Vec a, Vec b) noexcept {
    return {{a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]}};
}
inline Vec operator-(Vec a, Vec b) noexcept {
    return {{a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]}};
}
inline Vec operator*(Vec a, Vec b) noexcept {
    return {{a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]}};
}
#endif

inline Vec load(const float* from) noexcept {
    Vec value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

inline std::uint8_t to_byte(float value) noexcept {
    return static_cast<std::uint8_t>(static_cast<int>(std::min(std::max(value + 0.5f, 0.0f), 255.0f)));
}

struct Span {
    double low, high;
};

// Narrows the span of x to where 0 <= slope * x + offset <= limit.
Span narrow(Span span, double slope, double offset, double limit) noexcept {
    if (std::abs(slope) < 1e-12) {
        if (offset < 0 || offset > limit) span.high = span.low - 1;
        return span;
    }
    const double a = -offset / slope, b = (limit - offset) / slope;
    return {std::max(span.low, std::min(a, b)), std::min(span.high, std::max(a, b))};
}

}  // namespace

void blend_layer(std::uint8_t* frame, std::size_t height, std::size_t width, const float* layer, std::size_t side,
                 const double matrix[6]) noexcept {
    const double limit = static_cast<double>(side - 1);
    const std::ptrdiff_t last_cell = static_cast<std::ptrdiff_t>(side) - 2;
    const std::size_t pitch = side * 4;

    for (std::size_t y = 0; y < height; ++y) {
        const double u0 = matrix[1] * static_cast<double>(y) + matrix[2];
        const double v0 = matrix[4] * static_cast<double>(y) + matrix[5];
        Span span{0.0, static_cast<double>(width) - 1};
        span = narrow(span, matrix[0], u0, limit);
        span = narrow(span, matrix[3], v0, limit);
        if (!(span.low <= span.high)) continue;
        // One px more on either side, since the division above rounds: the test below decides.
        const std::size_t first = static_cast<std::size_t>(std::max(0.0, std::floor(span.low) - 1));
        const std::size_t last = static_cast<std::size_t>(std::min(static_cast<double>(width) - 1, std::ceil(span.high) + 1));

        std::uint8_t* pixel = frame + (y * width + first) * 3;
        for (std::size_t x = first; x <= last; ++x, pixel += 3) {
            const double u = matrix[0] * static_cast<double>(x) + u0;
            const double v = matrix[3] * static_cast<double>(x) + v0;
            if (!(u >= 0 && u <= limit && v >= 0 && v <= limit)) continue;
            const std::ptrdiff_t iu = std::min(static_cast<std::ptrdiff_t>(u), last_cell);
            const std::ptrdiff_t iv = std::min(static_cast<std::ptrdiff_t>(v), last_cell);
            const float fu = static_cast<float>(u - static_cast<double>(iu));
            const float fv = static_cast<float>(v - static_cast<double>(iv));
            const float* top = layer + static_cast<std::size_t>(iv) * pitch + static_cast<std::size_t>(iu) * 4;
            const float* bottom = top + pitch;
            const Vec left = load(top) + splat(fv) * (load(bottom) - load(top));
            const Vec right = load(top + 4) + splat(fv) * (load(bottom + 4) - load(top + 4));
            const Vec sample = left + splat(fu) * (right - left);
            const Vec old{static_cast<float>(pixel[0]), static_cast<float>(pixel[1]), static_cast<float>(pixel[2]), 0.0f};
            const Vec value = old + splat(sample[3]) * (sample - old);
            for (int c = 0; c < 3; ++c) pixel[c] = to_byte(value[c]);
        }
    }
}

}  // namespace mfm
