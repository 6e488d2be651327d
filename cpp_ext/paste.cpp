#include "paste.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "vector_clones.h"

namespace mfm {
namespace {

// Four channels, one vector register. Plain C++ where the compiler has no vector extension.
#if defined(__GNUC__) || defined(__clang__)
using Vec = float __attribute__((vector_size(16)));
using Whole = std::int32_t __attribute__((vector_size(16)));
inline Vec splat(float value) noexcept { return Vec{value, value, value, value}; }
inline Vec within(Vec value, Vec low, Vec high) noexcept {
    value = value > low ? value : low;
    return value < high ? value : high;
}
inline Whole whole(Vec value) noexcept { return __builtin_convertvector(value, Whole); }
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
inline Vec within(Vec value, Vec low, Vec high) noexcept {
    for (int i = 0; i < 4; ++i) value.lane[i] = std::clamp(value[i], low[i], high[i]);
    return value;
}
inline std::array<std::int32_t, 4> whole(Vec value) noexcept {
    std::array<std::int32_t, 4> numbers;
    for (std::size_t i = 0; i < 4; ++i) numbers[i] = static_cast<std::int32_t>(value.lane[i]);
    return numbers;
}
#endif

inline Vec load(const float* from) noexcept {
    Vec value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

// Rounded half up: truncating is flooring from 0 on.
inline void store(Vec value, std::uint8_t* pixel) noexcept {
    const auto rounded = whole(within(value + splat(0.5f), splat(0.0f), splat(255.0f)));
    for (int c = 0; c < 3; ++c) pixel[c] = static_cast<std::uint8_t>(rounded[c]);
}

struct Span {
    double low, high;

    bool holds(double value) const noexcept { return value >= low && value <= high; }
};

// Narrows the span of x to where slope * x + offset is within the limits.
Span narrow(Span span, double slope, double offset, Span limits) noexcept {
    if (std::abs(slope) < 1e-12) {
        if (!limits.holds(offset)) span.high = span.low - 1;
        return span;
    }
    const double a = (limits.low - offset) / slope, b = (limits.high - offset) / slope;
    return {std::max(span.low, std::min(a, b)), std::min(span.high, std::max(a, b))};
}

// Where the layer's weight is not 0, in layer px, one more on either side since samples reach to their neighbours.
struct Support {
    Span u{0, -1}, v{0, -1};
};

Support support(const float* layer, std::size_t side) noexcept {
    std::size_t left = side, right = 0, top = side, bottom = 0;
    for (std::size_t y = 0; y < side; ++y) {
        const float* weight = layer + y * side * 4 + 3;
        std::size_t first = 0, last = side;
        while (first < side && weight[first * 4] == 0) ++first;
        if (first == side) continue;
        while (weight[(last - 1) * 4] == 0) --last;
        left = std::min(left, first);
        right = std::max(right, last - 1);
        top = std::min(top, y);
        bottom = y;
    }
    if (top == side) return {};
    const auto around = [side](std::size_t from, std::size_t to) {
        return Span{static_cast<double>(from) - (from > 0), static_cast<double>(std::min(to + 1, side - 1))};
    };
    return {around(left, right), around(top, bottom)};
}

constexpr std::size_t CHUNK = 64;

// Where a run of pixels falls onto the layer: the cell's first float, and how far into the cell.
struct Places {
    std::array<std::int32_t, CHUNK> cell;
    std::array<float, CHUNK> across, down;
};

struct Line {
    double slope, offset;

    double at(std::size_t x) const noexcept { return slope * static_cast<double>(x) + offset; }
};

// Apart from the blend, because this the compiler turns into vectors over pixels. x in 32 bits: it knows how to widen
// those to double.
MFM_CLONES
void locate(Line u, Line v, std::int32_t first, std::int32_t count, std::int32_t side, Places& places) noexcept {
    for (std::int32_t i = 0; i < count; ++i) {
        const double x = static_cast<double>(first + i), ui = u.slope * x + u.offset, vi = v.slope * x + v.offset;
        std::int32_t column = static_cast<std::int32_t>(ui), row = static_cast<std::int32_t>(vi);
        column = column > side - 2 ? side - 2 : column;
        row = row > side - 2 ? side - 2 : row;
        const auto k = static_cast<std::size_t>(i);
        places.cell[k] = (row * side + column) * 4;
        places.across[k] = static_cast<float>(ui - static_cast<double>(column));
        places.down[k] = static_cast<float>(vi - static_cast<double>(row));
    }
}

}  // namespace

MFM_CLONES
void blend_layer(std::uint8_t* frame, std::size_t height, std::size_t width, const float* layer, std::size_t side,
                 const double matrix[6]) noexcept {
    const Support seen = support(layer, side);
    const std::size_t pitch = side * 4;
    Places places;

    for (std::size_t y = 0; y < height; ++y) {
        const Line u{matrix[0], matrix[1] * static_cast<double>(y) + matrix[2]};
        const Line v{matrix[3], matrix[4] * static_cast<double>(y) + matrix[5]};
        Span span{0.0, static_cast<double>(width) - 1};
        span = narrow(narrow(span, u.slope, u.offset, seen.u), v.slope, v.offset, seen.v);
        if (!(span.low <= span.high)) continue;
        // The division above rounds, by much less than 1 px: what is computed at the ends decides.
        std::size_t first = static_cast<std::size_t>(std::max(0.0, std::floor(span.low) - 1));
        std::size_t end = static_cast<std::size_t>(std::min(static_cast<double>(width), std::ceil(span.high) + 2));
        const auto outside = [&](std::size_t x) { return !(seen.u.holds(u.at(x)) && seen.v.holds(v.at(x))); };
        while (first < end && outside(first)) ++first;
        while (first < end && outside(end - 1)) --end;

        std::uint8_t* pixel = frame + (y * width + first) * 3;
        for (; first < end; first += CHUNK) {
            const std::size_t count = std::min(CHUNK, end - first);
            locate(u, v, static_cast<std::int32_t>(first), static_cast<std::int32_t>(count),
                   static_cast<std::int32_t>(side), places);
            for (std::size_t i = 0; i < count; ++i, pixel += 3) {
                const float* top = layer + places.cell[i];
                const float* bottom = top + pitch;
                const Vec down = splat(places.down[i]), across = splat(places.across[i]);
                const Vec left = load(top) + down * (load(bottom) - load(top));
                const Vec right = load(top + 4) + down * (load(bottom + 4) - load(top + 4));
                const Vec sample = left + across * (right - left);
                const float rest = 1.0f - sample[3];
                if (rest == 0.0f) {
                    store(sample, pixel);
                    continue;
                }
                const Vec old{static_cast<float>(pixel[0]), static_cast<float>(pixel[1]), static_cast<float>(pixel[2]), 0.0f};
                store(sample + splat(rest) * (old - sample), pixel);
            }
        }
    }
}

}  // namespace mfm
