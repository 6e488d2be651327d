// mfm_edge._native: argument checks and the GIL. The kernels beside this file know nothing of Python.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <cstdint>
#include <string>

#include "paste.h"
#include "pixels.h"
#include "repeat_add.h"

namespace py = pybind11;

namespace {

template <typename T>
void check(const char* name, const py::array& array, py::ssize_t dimensions, const char* takes, bool written) {
    const std::string head = std::string(name) + ": ";
    if (!array.dtype().equal(py::dtype::of<T>()))
        throw py::type_error(head + "got dtype " + py::str(array.dtype()).cast<std::string>() + ", takes " + takes);
    if (array.ndim() != dimensions)
        throw py::value_error(head + "got " + std::to_string(array.ndim()) + " dimensions, takes " + takes);
    if (!(array.flags() & py::array::c_style))
        throw py::value_error(head + "got an array that is not C-contiguous, takes " + takes);
    if (written && !array.writeable()) throw py::value_error(head + "got a read-only array, takes a writable one");
}

bool overlap(const py::array& a, const py::array& b) {
    const auto* a0 = static_cast<const char*>(a.data());
    const auto* b0 = static_cast<const char*>(b.data());
    return a0 < b0 + b.nbytes() && b0 < a0 + a.nbytes();
}

void repeat_add(const py::array& content, const py::array& style, py::array out) {
    check<float>("content", content, 4, "float32 (N, C, H, W)", false);
    check<float>("style", style, 2, "float32 (N, H * W)", false);
    check<float>("out", out, 4, "float32 of content's shape", true);
    const auto batch = content.shape(0), channels = content.shape(1), plane = content.shape(2) * content.shape(3);
    if (style.shape(0) != batch || style.shape(1) != plane)
        throw py::value_error("style: takes the shape (N, H * W) of content (N, C, H, W)");
    for (int axis = 0; axis < 4; ++axis)
        if (out.shape(axis) != content.shape(axis)) throw py::value_error("out: takes content's shape");
    if (overlap(out, style) || (out.data() != content.data() && overlap(out, content)))
        throw py::value_error("out: overlaps an input, takes content itself or memory of its own");
    const auto* from = static_cast<const float*>(content.data());
    const auto* code = static_cast<const float*>(style.data());
    auto* to = static_cast<float*>(out.mutable_data());
    py::gil_scoped_release release;
    mfm::repeat_add(from, code, to, static_cast<std::size_t>(batch), static_cast<std::size_t>(channels),
                    static_cast<std::size_t>(plane));
}

void blend_layer(py::array frame, const py::array& layer, const py::array& matrix) {
    check<std::uint8_t>("frame", frame, 3, "uint8 (H, W, 3)", true);
    check<float>("layer", layer, 3, "float32 (S, S, 4)", false);
    check<double>("matrix", matrix, 2, "float64 (2, 3)", false);
    if (frame.shape(2) != 3) throw py::value_error("frame: takes three channels");
    if (layer.shape(0) != layer.shape(1) || layer.shape(0) < 2 || layer.shape(2) != 4)
        throw py::value_error("layer: takes the shape (S, S, 4) with S >= 2");
    if (matrix.shape(0) != 2 || matrix.shape(1) != 3) throw py::value_error("matrix: takes the shape (2, 3)");
    if (overlap(frame, layer)) throw py::value_error("layer: overlaps the frame, takes memory of its own");
    double values[6];
    for (int i = 0; i < 6; ++i) {
        values[i] = static_cast<const double*>(matrix.data())[i];
        if (!std::isfinite(values[i])) throw py::value_error("matrix: takes finite numbers");
    }
    auto* pixels = static_cast<std::uint8_t*>(frame.mutable_data());
    const auto* from = static_cast<const float*>(layer.data());
    const auto height = static_cast<std::size_t>(frame.shape(0)), width = static_cast<std::size_t>(frame.shape(1));
    const auto side = static_cast<std::size_t>(layer.shape(0));
    py::gil_scoped_release release;
    mfm::blend_layer(pixels, height, width, from, side, values);
}

void check_pixels(const char* name, const py::array& array, bool written) {
    check<std::uint8_t>(name, array, 4, "uint8 (N, H, W, 3)", written);
    if (array.shape(3) != 3) throw py::value_error(std::string(name) + ": takes the shape (N, H, W, 3)");
}

void check_planes(const char* name, const py::array& array, bool written) {
    check<float>(name, array, 4, "float32 (N, 3, H, W)", written);
    if (array.shape(1) != 3) throw py::value_error(std::string(name) + ": takes the shape (N, 3, H, W)");
}

void check_fit(const py::array& pixels, const py::array& planes) {
    if (pixels.shape(0) != planes.shape(0) || pixels.shape(1) != planes.shape(2) || pixels.shape(2) != planes.shape(3))
        throw py::value_error("out: takes as many pixels as the input has");
    if (overlap(pixels, planes)) throw py::value_error("out: overlaps the input, takes memory of its own");
}

void to_planes(const py::array& pixels, py::array out) {
    check_pixels("pixels", pixels, false);
    check_planes("out", out, true);
    check_fit(pixels, out);
    const auto* from = static_cast<const std::uint8_t*>(pixels.data());
    auto* to = static_cast<float*>(out.mutable_data());
    const auto batch = static_cast<std::size_t>(pixels.shape(0));
    const auto plane = static_cast<std::size_t>(pixels.shape(1) * pixels.shape(2));
    py::gil_scoped_release release;
    mfm::to_planes(from, to, batch, plane);
}

void to_pixels(const py::array& planes, py::array out) {
    check_planes("planes", planes, false);
    check_pixels("out", out, true);
    check_fit(out, planes);
    const auto* from = static_cast<const float*>(planes.data());
    auto* to = static_cast<std::uint8_t*>(out.mutable_data());
    const auto batch = static_cast<std::size_t>(planes.shape(0));
    const auto plane = static_cast<std::size_t>(planes.shape(2) * planes.shape(3));
    py::gil_scoped_release release;
    mfm::to_pixels(from, to, batch, plane);
}

}  // namespace

PYBIND11_MODULE(_native, module) {
    module.doc() = "The kernels of mfm_edge. Call them through mfm_edge.latent, mfm_edge.paste and mfm_edge.pixels.";
    module.attr("SOURCE_HASH") = MFM_SOURCE_HASH;
    module.def("repeat_add", &repeat_add, py::arg("content").noconvert(), py::arg("style").noconvert(),
               py::arg("out").noconvert(), "out[n, c] = content[n, c] + style[n]; float32, contiguous; the GIL is released.");
    module.def("blend_layer", &blend_layer, py::arg("frame").noconvert(), py::arg("layer").noconvert(),
               py::arg("matrix").noconvert(),
               "frame += weight * (layer - frame) where the frame falls onto the layer; the GIL is released.");
    module.def("to_planes", &to_planes, py::arg("pixels").noconvert(), py::arg("out").noconvert(),
               "uint8 (N, H, W, 3) BGR -> float32 (N, 3, H, W) RGB, -1..1; the GIL is released.");
    module.def("to_pixels", &to_pixels, py::arg("planes").noconvert(), py::arg("out").noconvert(),
               "float32 (N, 3, H, W) RGB, -1..1 -> uint8 (N, H, W, 3) BGR; the GIL is released.");
}
