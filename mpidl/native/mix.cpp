// The weighted sum over a neighborhood: each vector is read once, the mixture written once.
#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace nb = nanobind;

namespace {

// Blocks of the accumulator stay in the first-level cache while the members are added to it.
constexpr std::size_t kBlock = 2048;

#if defined(__GNUC__) && defined(__x86_64__) && !defined(__clang__)
#define MPIDL_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MPIDL_CLONES
#endif

// Products are rounded before they are added (no fused multiply-add), so that every
// instruction set, and the fallback without this kernel, gives the same bits.
template <typename T>
inline __attribute__((always_inline)) void mix_blocks(const std::vector<T> &weights,
                                                      const std::vector<std::uintptr_t> &members,
                                                      T *out, std::size_t size) {
    for (std::size_t start = 0; start < size; start += kBlock) {
        const std::size_t count = std::min(kBlock, size - start);
        T sum[kBlock];
        const T *first = reinterpret_cast<const T *>(members[0]) + start;
        for (std::size_t p = 0; p < count; ++p) sum[p] = weights[0] * first[p];
        for (std::size_t k = 1; k < members.size(); ++k) {
            const T weight = weights[k];
            const T *member = reinterpret_cast<const T *>(members[k]) + start;
            for (std::size_t p = 0; p < count; ++p) sum[p] += weight * member[p];
        }
        std::copy(sum, sum + count, out + start);
    }
}

MPIDL_CLONES void mix_float(const std::vector<float> &weights,
                            const std::vector<std::uintptr_t> &members, float *out,
                            std::size_t size) {
    mix_blocks(weights, members, out, size);
}

MPIDL_CLONES void mix_double(const std::vector<double> &weights,
                             const std::vector<std::uintptr_t> &members, double *out,
                             std::size_t size) {
    mix_blocks(weights, members, out, size);
}

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "Native kernels of mpidl; called through mpidl.kernels only.";
    module.def(
        "mix_float32",
        [](const std::vector<float> &weights, const std::vector<std::uintptr_t> &members,
           std::uintptr_t out, std::size_t size) {
            nb::gil_scoped_release release;
            mix_float(weights, members, reinterpret_cast<float *>(out), size);
        },
        nb::arg("weights"), nb::arg("members"), nb::arg("out"), nb::arg("size"));
    module.def(
        "mix_float64",
        [](const std::vector<double> &weights, const std::vector<std::uintptr_t> &members,
           std::uintptr_t out, std::size_t size) {
            nb::gil_scoped_release release;
            mix_double(weights, members, reinterpret_cast<double *>(out), size);
        },
        nb::arg("weights"), nb::arg("members"), nb::arg("out"), nb::arg("size"));
}
