// What a custom operator needs of ONNX Runtime's C API, under its names. The whole header, 400 KB, is in no Python wheel.
//
// After onnxruntime_c_api.h, Copyright (c) Microsoft Corporation, MIT License. ONNX Runtime hands these tables over at run
// time, so nothing is linked. They are a binary interface that it keeps: OrtApi is only ever appended to, and of
// OrtCustomOp it reads the fields that the version in its first field has. tests/cpp_ext holds both against the header.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mfm::onnxruntime {

// Known by their addresses alone.
struct OrtStatus;  // null: no error
struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtValue;
struct OrtTensorTypeAndShapeInfo;

struct OrtCustomOp;

constexpr std::uint32_t API_VERSION = 16;  // of ONNX Runtime 1.16, the first with KernelComputeV2
enum OrtErrorCode : int { ORT_FAIL = 1, ORT_INVALID_ARGUMENT = 2 };
enum ONNXTensorElementDataType : int { ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1 };
enum OrtCustomOpInputOutputCharacteristic : int { INPUT_OUTPUT_REQUIRED = 0 };
enum OrtMemType : int { OrtMemTypeDefault = 0 };

struct OrtApi {
    using Unused = const void*;
    OrtStatus* (*CreateStatus)(OrtErrorCode code, const char* message);
    Unused from_1[25];
    OrtStatus* (*CreateCustomOpDomain)(const char* domain, OrtCustomOpDomain** out);
    OrtStatus* (*CustomOpDomain_Add)(OrtCustomOpDomain* domain, const OrtCustomOp* op);
    OrtStatus* (*AddCustomOpDomain)(OrtSessionOptions* options, OrtCustomOpDomain* domain);
    Unused from_29[22];
    OrtStatus* (*GetTensorMutableData)(OrtValue* value, void** out);
    Unused from_52[9];
    OrtStatus* (*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo* info, std::size_t* out);
    OrtStatus* (*GetDimensions)(const OrtTensorTypeAndShapeInfo* info, std::int64_t* values, std::size_t length);
    Unused from_63[2];
    OrtStatus* (*GetTensorTypeAndShape)(const OrtValue* value, OrtTensorTypeAndShapeInfo** out);
    Unused from_66[24];
    OrtStatus* (*KernelContext_GetInput)(const OrtKernelContext* context, std::size_t index, const OrtValue** out);
    OrtStatus* (*KernelContext_GetOutput)(OrtKernelContext* context, std::size_t index, const std::int64_t* dimensions,
                                          std::size_t count, OrtValue** out);
    Unused from_92[7];
    void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo* info);
};

struct OrtApiBase {
    const OrtApi* (*GetApi)(std::uint32_t version);  // null: this ONNX Runtime is older
    const char* (*GetVersionString)();
};

struct OrtCustomOp {
    std::uint32_t version;
    void* (*CreateKernel)(const OrtCustomOp* op, const OrtApi* api, const OrtKernelInfo* info);
    const char* (*GetName)(const OrtCustomOp* op);
    const char* (*GetExecutionProviderType)(const OrtCustomOp* op);
    ONNXTensorElementDataType (*GetInputType)(const OrtCustomOp* op, std::size_t index);
    std::size_t (*GetInputTypeCount)(const OrtCustomOp* op);
    ONNXTensorElementDataType (*GetOutputType)(const OrtCustomOp* op, std::size_t index);
    std::size_t (*GetOutputTypeCount)(const OrtCustomOp* op);
    void (*KernelCompute)(void* kernel, OrtKernelContext* context);
    void (*KernelDestroy)(void* kernel);
    OrtCustomOpInputOutputCharacteristic (*GetInputCharacteristic)(const OrtCustomOp* op, std::size_t index);
    OrtCustomOpInputOutputCharacteristic (*GetOutputCharacteristic)(const OrtCustomOp* op, std::size_t index);
    OrtMemType (*GetInputMemoryType)(const OrtCustomOp* op, std::size_t index);
    int (*GetVariadicInputMinArity)(const OrtCustomOp* op);
    int (*GetVariadicInputHomogeneity)(const OrtCustomOp* op);
    int (*GetVariadicOutputMinArity)(const OrtCustomOp* op);
    int (*GetVariadicOutputHomogeneity)(const OrtCustomOp* op);
    OrtStatus* (*CreateKernelV2)(const OrtCustomOp* op, const OrtApi* api, const OrtKernelInfo* info, void** kernel);
    OrtStatus* (*KernelComputeV2)(void* kernel, OrtKernelContext* context);
};

}  // namespace mfm::onnxruntime
