// The repeat-and-add of repeat_add.h for CUDA, for programs that keep the latents on the device. The SDK's own GPU path is
// TensorRT, which fuses the sum itself. No machine of this project has a GPU: it is compiled, and has never run.
#include <cstddef>

// out[n, c, i] = content[n, c, i] + style[n, i]; contiguous float32, out may be content. Any grid and block size.
extern "C" __global__ void mfm_repeat_add(const float* content, const float* __restrict__ style, float* out,
                                          std::size_t batch, std::size_t channels, std::size_t plane) {
    const std::size_t total = batch * channels * plane, step = std::size_t(gridDim.x) * blockDim.x;
    for (std::size_t i = std::size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < total; i += step)
        out[i] = content[i] + style[i / (channels * plane) * plane + i % plane];
}
