// The kernels against plain loops, on memory that ends where it should: for sanitizers and other processors.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "custom_op.h"
#include "paste.h"
#include "pixels.h"
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
        for (int edge = between(0, side), i = 0; i < side; ++i)  // weights of 0 and of 1 take ways of their own
            for (int j = 0; j < side; ++j)
                if (i >= edge || j >= edge) layer[(std::size_t(i) * side + j) * 4 + 3] = i > j ? 0.0f : 1.0f;
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

void pixels_are_the_plain_loop() {
    for (int round = 0; round < 200; ++round) {
        const std::size_t batch = between(0, 3), plane = between(1, 700);
        std::vector<std::uint8_t> pixels(batch * plane * 3), back(pixels.size());
        std::vector<float> planes(pixels.size());
        for (auto& level : pixels) level = static_cast<std::uint8_t>(between(0, 255));
        mfm::to_planes(pixels.data(), planes.data(), batch, plane);
        const auto in_planes = [&](std::size_t i) {
            return (i / 3 / plane * 3 + 2 - i % 3) * plane + i / 3 % plane;
        };
        bool same = true;
        for (std::size_t i = 0; i < pixels.size(); ++i)
            same &= planes[in_planes(i)] == pixels[i] * static_cast<float>(1 / 127.5) - 1.0f;
        expect(same, "to_planes: the plain loop, bit for bit");
        mfm::to_pixels(planes.data(), back.data(), batch, plane);
        expect(back == pixels, "to_pixels: what to_planes had");

        for (auto& value : planes) value = static_cast<float>(real(-1.5, 1.5));
        for (const float odd : {INFINITY, -INFINITY, NAN, 3e38f, -0.0f})
            if (!planes.empty()) planes[between(0, static_cast<int>(planes.size()) - 1)] = odd;
        mfm::to_pixels(planes.data(), back.data(), batch, plane);
        same = true;
        for (std::size_t i = 0; i < back.size(); ++i) {
            const float level = std::nearbyint((planes[in_planes(i)] + 1.0f) * 127.5f);
            same &= back[i] == (std::isnan(level) ? 0.0f : std::min(std::max(level, 0.0f), 255.0f));
        }
        expect(same, "to_pixels: the plain loop, whatever comes");
    }
}

}  // namespace

// What the custom operator asks of ONNX Runtime, in a few lines.
namespace mfm::onnxruntime {
struct OrtStatus {};
struct OrtTensorTypeAndShapeInfo {};
struct OrtValue : OrtTensorTypeAndShapeInfo {
    std::vector<std::int64_t> shape;
    std::vector<float> data;
};
struct OrtKernelContext {
    OrtValue inputs[2], output;
};
struct OrtCustomOpDomain {
    const OrtCustomOp* op;
};
struct OrtSessionOptions {
    OrtCustomOpDomain* domain;
};
}  // namespace mfm::onnxruntime

namespace {

using namespace mfm::onnxruntime;

OrtStatus refused;
OrtCustomOpDomain known;

const OrtApi* give_api(std::uint32_t version) {
    static OrtApi api{};
    api.CreateStatus = [](OrtErrorCode, const char*) { return &refused; };
    api.CreateCustomOpDomain = [](const char*, OrtCustomOpDomain** out) -> OrtStatus* { return *out = &known, nullptr; };
    api.CustomOpDomain_Add = [](OrtCustomOpDomain* domain, const OrtCustomOp* op) -> OrtStatus* {
        return domain->op = op, nullptr;
    };
    api.AddCustomOpDomain = [](OrtSessionOptions* options, OrtCustomOpDomain* domain) -> OrtStatus* {
        return options->domain = domain, nullptr;
    };
    api.GetTensorMutableData = [](OrtValue* value, void** out) -> OrtStatus* { return *out = value->data.data(), nullptr; };
    api.GetTensorTypeAndShape = [](const OrtValue* value, OrtTensorTypeAndShapeInfo** out) -> OrtStatus* {
        return *out = const_cast<OrtValue*>(value), nullptr;
    };
    api.GetDimensionsCount = [](const OrtTensorTypeAndShapeInfo* info, std::size_t* out) -> OrtStatus* {
        return *out = static_cast<const OrtValue*>(info)->shape.size(), nullptr;
    };
    api.GetDimensions = [](const OrtTensorTypeAndShapeInfo* info, std::int64_t* to, std::size_t length) -> OrtStatus* {
        return std::copy_n(static_cast<const OrtValue*>(info)->shape.begin(), length, to), nullptr;
    };
    api.ReleaseTensorTypeAndShapeInfo = [](OrtTensorTypeAndShapeInfo*) {};
    api.KernelContext_GetInput = [](const OrtKernelContext* context, std::size_t index, const OrtValue** out) -> OrtStatus* {
        return *out = &context->inputs[index], nullptr;
    };
    api.KernelContext_GetOutput = [](OrtKernelContext* context, std::size_t, const std::int64_t* shape, std::size_t count,
                                     OrtValue** out) -> OrtStatus* {
        context->output.shape.assign(shape, shape + count);
        context->output.data.resize(shape[0] * shape[1] * shape[2] * shape[3]);
        return *out = &context->output, nullptr;
    };
    return version <= API_VERSION ? &api : nullptr;
}

const OrtApi* give_old_api(std::uint32_t version) { return version < API_VERSION ? give_api(version) : nullptr; }

void the_custom_operator_computes_what_fits_and_refuses_the_rest() {
    OrtSessionOptions options{};
    const OrtApiBase base{give_api, nullptr}, old{give_old_api, nullptr};
    expect(RegisterCustomOps(&options, &old) == &refused && !options.domain, "custom operator: not for older ones");
    expect(RegisterCustomOps(&options, &base) == nullptr && options.domain == &known, "custom operator: registered");
    void* kernel = nullptr;
    expect(!known.op->CreateKernelV2(known.op, give_api(1), nullptr, &kernel) && kernel, "custom operator: a kernel");
    OrtKernelContext context;
    context.inputs[0].shape = {2, 3, 4, 5};
    context.inputs[1].shape = {2, 20};
    for (auto& input : context.inputs) {
        std::int64_t count = 1;
        for (const auto side : input.shape) count *= side;
        for (std::int64_t i = 0; i < count; ++i) input.data.push_back(static_cast<float>(real(-1, 1)));
    }
    expect(!known.op->KernelComputeV2(kernel, &context), "custom operator: runs");
    std::vector<float> sum(2 * 3 * 20);
    mfm::repeat_add(context.inputs[0].data.data(), context.inputs[1].data.data(), sum.data(), 2, 3, 20);
    expect(context.output.shape == context.inputs[0].shape && context.output.data == sum, "custom operator: the sum");
    for (const auto& shape : std::vector<std::vector<std::int64_t>>{{2, 19}, {1, 20}, {2, 4, 5}, {}}) {
        context.inputs[1].shape = shape;
        expect(known.op->KernelComputeV2(kernel, &context) == &refused, "custom operator: refuses");
    }
    known.op->KernelDestroy(kernel);
}

}  // namespace

int main() {
    repeat_add_is_a_sum();
    pixels_are_the_plain_loop();
    the_custom_operator_computes_what_fits_and_refuses_the_rest();
    blend_layer_is_the_plain_loop();
    blend_layer_stays_inside();
    std::printf("%d failures\n", failures);
    return failures ? 1 : 0;
}
