// The kernels against plain loops, on memory that ends where it should: for sanitizers and other processors.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "paste.h"
#include "repeat_add.h"

namespace {

std::mt19937 generator(1);
int failures = 0;

void expect(bool holds, const char* what) {
    if (!holds) {
        std::fprintf(stderr, "failed: %s\n", what);
        ++failures;
    }
}

int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator); }
double real(double low, double high) { return std::uniform_real_distribution<double>(low, high)(generator); }

void repeat_add_is_a_sum() {
    for (int round = 0; round < 200; ++round) {
        const std::size_t batch = between(0, 3), channels = between(1, 9), plane = between(1, 130);
        std::vector<float> content(batch * channels * plane), style(batch * plane), out(content.size());
        for (auto* values : {&content, &style})
            for (auto& value : *values) value = static_cast<float>(real(-2, 2));
        mfm::repeat_add(content.data(), style.data(), out.data(), batch, channels, plane);
        bool same = true;
        for (std::size_t i = 0; i < out.size(); ++i)
            same &= out[i] == content[i] + style[i / (channels * plane) * plane + i % plane];
        expect(same, "repeat_add: content + style, bit for bit");
        mfm::repeat_add(content.data(), style.data(), content.data(), batch, channels, plane);
        expect(content == out, "repeat_add: the same in place");
    }
}

// Where the frame's pixel falls onto the layer, or not, is decided in double as in the kernel.
void blend(std::vector<std::uint8_t>& frame, int height, int width, const std::vector<float>& layer, int side,
           const double m[6]) {
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x) {
            const double u = m[0] * x + (m[1] * y + m[2]), v = m[3] * x + (m[4] * y + m[5]);
            if (!(u >= 0 && u <= side - 1 && v >= 0 && v <= side - 1)) continue;
            const int iu = std::min(static_cast<int>(u), side - 2), iv = std::min(static_cast<int>(v), side - 2);
            const double fu = u - iu, fv = v - iv;
            double sample[4];
            for (int c = 0; c < 4; ++c) {
                const auto at = [&](int i, int j) { return double(layer[(std::size_t(i) * side + j) * 4 + c]); };
                const double left = at(iv, iu) + fv * (at(iv + 1, iu) - at(iv, iu));
                const double right = at(iv, iu + 1) + fv * (at(iv + 1, iu + 1) - at(iv, iu + 1));
                sample[c] = left + fu * (right - left);
            }
            for (int c = 0; c < 3; ++c) {
                auto& pixel = frame[(std::size_t(y) * width + x) * 3 + c];
                const double value = pixel + sample[3] * (sample[c] - pixel);
                pixel = static_cast<std::uint8_t>(std::min(std::max(value + 0.5, 0.0), 255.0));
            }
        }
}

void blend_layer_is_the_plain_loop() {
    for (int round = 0; round < 300; ++round) {
        const int height = between(1, 40), width = between(1, 40), side = between(2, 24);
        std::vector<std::uint8_t> frame(std::size_t(height) * width * 3);
        std::vector<float> layer(std::size_t(side) * side * 4);
        for (auto& value : frame) value = static_cast<std::uint8_t>(between(0, 255));
        for (std::size_t i = 0; i < layer.size(); ++i)
            layer[i] = static_cast<float>(i % 4 == 3 ? real(0, 1) : real(0, 255));
        double matrix[6];
        for (int i = 0; i < 6; ++i) matrix[i] = i % 3 == 2 ? real(-20, 20) : real(-2, 2);
        auto expected = frame;
        blend(expected, height, width, layer, side, matrix);
        mfm::blend_layer(frame.data(), height, width, layer.data(), side, matrix);
        bool close = true;
        for (std::size_t i = 0; i < frame.size(); ++i) close &= std::abs(int(frame[i]) - int(expected[i])) <= 1;
        expect(close, "blend_layer: the plain loop, to one level");
    }
}

void blend_layer_stays_inside() {
    const double huge = std::numeric_limits<double>::max();
    const double matrices[][6] = {{0, 0, 0, 0, 0, 0},         {1e300, 1e300, 1e300, 1e300, 1e300, 1e300},
                                  {huge, 0, 0, 0, huge, 0},   {-huge, huge, huge, huge, -huge, -huge},
                                  {1e-13, 0, 3, 0, 1e-13, 3}, {1, 0, -1e9, 0, 1, 1e9}};
    for (const auto& matrix : matrices) {
        std::vector<std::uint8_t> frame(17 * 13 * 3, 7);
        const std::vector<float> layer(8 * 8 * 4, 1);
        mfm::blend_layer(frame.data(), 17, 13, layer.data(), 8, matrix);
    }
}

}  // namespace

int main() {
    repeat_add_is_a_sum();
    blend_layer_is_the_plain_loop();
    blend_layer_stays_inside();
    std::printf("%d failures\n", failures);
    return failures ? 1 : 0;
}
