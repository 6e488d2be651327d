#include "custom_op.h"

#include "repeat_add.h"

namespace mfm {
namespace {

using namespace onnxruntime;

template <std::size_t Rank>
struct Tensor {
    std::int64_t shape[Rank];
    const float* data;
};

// What the graph says of its shapes does not bind the tensors that come.
template <std::size_t Rank>
OrtStatus* read(const OrtApi& api, const OrtKernelContext* context, std::size_t index, const char* takes,
                Tensor<Rank>& tensor) noexcept {
    const OrtValue* value = nullptr;
    if (auto* failed = api.KernelContext_GetInput(context, index, &value)) return failed;
    OrtTensorTypeAndShapeInfo* info = nullptr;
    if (auto* failed = api.GetTensorTypeAndShape(value, &info)) return failed;
    std::size_t rank = 0;
    auto* failed = api.GetDimensionsCount(info, &rank);
    if (!failed && rank != Rank) failed = api.CreateStatus(ORT_INVALID_ARGUMENT, takes);
    if (!failed) failed = api.GetDimensions(info, tensor.shape, Rank);
    api.ReleaseTensorTypeAndShapeInfo(info);
    if (failed) return failed;
    void* data = nullptr;
    failed = api.GetTensorMutableData(const_cast<OrtValue*>(value), &data);  // there is no other that only reads
    tensor.data = static_cast<const float*>(data);
    return failed;
}

OrtStatus* compute(void* kernel, OrtKernelContext* context) noexcept {
    const auto& api = *static_cast<const OrtApi*>(kernel);
    Tensor<4> content;
    Tensor<2> style;
    if (auto* failed = read(api, context, 0, "mfm.RepeatAdd: content takes the shape (N, C, H, W)", content)) return failed;
    if (auto* failed = read(api, context, 1, "mfm.RepeatAdd: style takes the shape (N, H * W)", style)) return failed;
    const std::int64_t batch = content.shape[0], channels = content.shape[1], plane = content.shape[2] * content.shape[3];
    if (style.shape[0] != batch || style.shape[1] != plane)
        return api.CreateStatus(ORT_INVALID_ARGUMENT, "mfm.RepeatAdd: style takes the shape (N, H * W) of content (N, C, H, W)");
    OrtValue* out = nullptr;
    if (auto* failed = api.KernelContext_GetOutput(context, 0, content.shape, 4, &out)) return failed;
    void* data = nullptr;
    if (auto* failed = api.GetTensorMutableData(out, &data)) return failed;
    repeat_add(content.data, style.data, static_cast<float*>(data), static_cast<std::size_t>(batch),
               static_cast<std::size_t>(channels), static_cast<std::size_t>(plane));
    return nullptr;
}

OrtCustomOp describe() noexcept {
    OrtCustomOp op{};
    op.version = API_VERSION;
    op.GetName = [](const OrtCustomOp*) { return "RepeatAdd"; };
    op.GetExecutionProviderType = [](const OrtCustomOp*) { return "CPUExecutionProvider"; };
    op.GetInputTypeCount = [](const OrtCustomOp*) { return std::size_t{2}; };
    op.GetInputType = [](const OrtCustomOp*, std::size_t) { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; };
    op.GetInputCharacteristic = [](const OrtCustomOp*, std::size_t) { return INPUT_OUTPUT_REQUIRED; };
    op.GetInputMemoryType = [](const OrtCustomOp*, std::size_t) { return OrtMemTypeDefault; };
    op.GetOutputTypeCount = [](const OrtCustomOp*) { return std::size_t{1}; };
    op.GetOutputType = [](const OrtCustomOp*, std::size_t) { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; };
    op.GetOutputCharacteristic = [](const OrtCustomOp*, std::size_t) { return INPUT_OUTPUT_REQUIRED; };
    // The API is all that a kernel needs to know: it is the kernel.
    op.CreateKernelV2 = [](const OrtCustomOp*, const OrtApi* api, const OrtKernelInfo*, void** kernel) -> OrtStatus* {
        *kernel = const_cast<OrtApi*>(api);
        return nullptr;
    };
    op.KernelComputeV2 = compute;
    op.KernelDestroy = [](void*) {};
    return op;
}

}  // namespace
}  // namespace mfm

extern "C" mfm::onnxruntime::OrtStatus* RegisterCustomOps(mfm::onnxruntime::OrtSessionOptions* options,
                                                          const mfm::onnxruntime::OrtApiBase* base) {
    using namespace mfm::onnxruntime;
    static const OrtCustomOp op = mfm::describe();
    const OrtApi* api = base->GetApi(API_VERSION);
    if (!api) return base->GetApi(1)->CreateStatus(ORT_FAIL, "mfm.RepeatAdd: takes ONNX Runtime 1.16 or newer");
    // Never released: it must outlive the sessions, and nothing tells when the last of them ends.
    OrtCustomOpDomain* domain = nullptr;
    if (auto* failed = api->CreateCustomOpDomain("mfm", &domain)) return failed;
    if (auto* failed = api->CustomOpDomain_Add(domain, &op)) return failed;
    return api->AddCustomOpDomain(options, domain);
}
