// mfm.RepeatAdd for ONNX Runtime: the kernel of repeat_add.h behind the node of that name in the one graph.
#pragma once

#include "onnxruntime_abi.h"

#if defined(_WIN32)
#define MFM_EXPORT __declspec(dllexport)
#else
#define MFM_EXPORT __attribute__((visibility("default")))
#endif

// SessionOptions.register_custom_ops_library calls it by this name. RepeatAdd of the domain mfm: content (N, C, H, W),
// style (N, H * W) -> out of content's shape, all float32; other shapes fail the run with a message.
extern "C" MFM_EXPORT mfm::onnxruntime::OrtStatus* RegisterCustomOps(mfm::onnxruntime::OrtSessionOptions* options,
                                                                     const mfm::onnxruntime::OrtApiBase* base);
