// Native kernels for Python: addresses in, nothing copied, the interpreter's lock released.
#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>

#include "gate.hpp"
#include "mix.hpp"

namespace nb = nanobind;

namespace {

template <typename T>
void define_apart(nb::module_ &module, const char *name) {
    module.def(
        name,
        [](std::uintptr_t vector, std::uintptr_t mean, std::size_t size, std::uintptr_t squares) {
            nb::gil_scoped_release release;
            mpidl::apart<T>(reinterpret_cast<const T *>(vector),
                            reinterpret_cast<const mpidl::Sum<T> *>(mean), size,
                            reinterpret_cast<double *>(squares));
        },
        nb::arg("vector"), nb::arg("mean"), nb::arg("size"), nb::arg("squares"));
}

template <typename T>
void define(nb::module_ &module, const char *name) {
    module.def(
        name,
        [](std::uintptr_t offsets, std::uintptr_t members, std::uintptr_t weights,
           std::uintptr_t outs, std::size_t rows, std::size_t start, std::size_t stop, bool stream,
           std::uintptr_t squares) {
            const mpidl::Product product{reinterpret_cast<const std::int64_t *>(offsets),
                                         reinterpret_cast<const std::uintptr_t *>(members),
                                         reinterpret_cast<const double *>(weights),
                                         reinterpret_cast<const std::uintptr_t *>(outs), rows};
            nb::gil_scoped_release release;
            mpidl::mix<T>(product, start, stop, stream, reinterpret_cast<double *>(squares));
        },
        nb::arg("offsets"), nb::arg("members"), nb::arg("weights"), nb::arg("outs"),
        nb::arg("rows"), nb::arg("start"), nb::arg("stop"), nb::arg("stream"), nb::arg("squares"));
}

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "Native kernels of mpidl; called through mpidl.exchange.kernels and mpidl.ranks.node only.";
    module.attr("TILE") = mpidl::kTile;
    define<float>(module, "mix_float32");
    define<double>(module, "mix_float64");
    define<mpidl::BFloat16>(module, "mix_bfloat16");
    define<mpidl::Float16>(module, "mix_float16");
    define_apart<float>(module, "apart_float32");
    define_apart<double>(module, "apart_float64");
    define_apart<mpidl::BFloat16>(module, "apart_bfloat16");
    define_apart<mpidl::Float16>(module, "apart_float16");
#if defined(MPIDL_GATES)
    module.def(
        "arrive",
        [](std::uintptr_t gate, std::uint32_t ranks) {
            return mpidl::arrive(*reinterpret_cast<mpidl::Gate *>(gate), ranks);
        },
        nb::arg("gate"), nb::arg("ranks"));
    module.def(
        "wait",
        [](std::uintptr_t gate, std::uint32_t ticket, std::size_t spins, double seconds) {
            nb::gil_scoped_release release;
            return mpidl::wait(*reinterpret_cast<mpidl::Gate *>(gate), ticket, spins, seconds);
        },
        nb::arg("gate"), nb::arg("ticket"), nb::arg("spins"), nb::arg("seconds"));
#endif
}
