// X <- W X on vectors that share columns: each vector is read once from memory and each mixture
// written once, however many members a row has. Plain C++ without Python, MPI or torch.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace mpidl {

// What is stored as 16 bits; both are mixed as floats.
struct BFloat16 {
    std::uint16_t bits;
};
struct Float16 {
    std::uint16_t bits;
};

constexpr std::size_t kRegisters = 8;  // in which a chunk of columns is summed
constexpr std::size_t kTile = 4096;  // columns whose squared distances are summed together
constexpr std::size_t kCache = 256 * 1024;  // bytes of a block of all vectors: half of a small L2
constexpr std::size_t kLine = 64;

// Vectors as wide as a register of the instruction set: GCC keeps wider ones in memory.
template <typename T, std::size_t kLanes>
struct Lanes {
    typedef T type __attribute__((vector_size(kLanes * sizeof(T))));
};

#define MPIDL_INLINE inline __attribute__((always_inline))

template <typename To, typename From>
MPIDL_INLINE To bits_of(const From &from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof(To));
    return to;
}

// How each stored type enters and leaves registers of so many bytes, in which sums are made.
template <typename T, std::size_t kBytes>
struct Stored {
    using Sum = T;
    static constexpr std::size_t kLanes = kBytes / sizeof(Sum);
    using Vector = typename Lanes<Sum, kLanes>::type;
    static MPIDL_INLINE Vector load(const T *from) {
        Vector vector;
        std::memcpy(&vector, from, sizeof(vector));
        return vector;
    }
    static MPIDL_INLINE void store(T *to, const Vector &vector) {
        std::memcpy(to, &vector, sizeof(vector));
    }
};

// Floats whose upper half, or whose value in half the bits, is stored.
template <std::size_t kBytes>
struct Halved {
    using Sum = float;
    static constexpr std::size_t kLanes = kBytes / sizeof(Sum);
    using Vector = typename Lanes<float, kLanes>::type;
    using Words = typename Lanes<std::uint32_t, kLanes>::type;
    using Halves = typename Lanes<std::uint16_t, kLanes>::type;
    static MPIDL_INLINE Words widened(const void *from) {
        Halves halves;
        std::memcpy(&halves, from, sizeof(halves));
        return __builtin_convertvector(halves, Words);
    }
    static MPIDL_INLINE void narrowed(void *to, const Words &words) {
        const Halves halves = __builtin_convertvector(words, Halves);
        std::memcpy(to, &halves, sizeof(halves));
    }
};

template <std::size_t kBytes>
struct Stored<BFloat16, kBytes> : Halved<kBytes> {
    using typename Halved<kBytes>::Vector;
    using typename Halved<kBytes>::Words;
    static MPIDL_INLINE Vector load(const BFloat16 *from) {
        return bits_of<Vector>(Halved<kBytes>::widened(from) << 16);
    }
    static MPIDL_INLINE void store(BFloat16 *to, const Vector &vector) {
        const Words bits = bits_of<Words>(vector);
        // Round to nearest, ties to even; a NaN stays one.
        const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
        const Words nan = (bits >> 16) | 0x40;
        Halved<kBytes>::narrowed(to, (bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
    }
};

template <std::size_t kBytes>
struct Stored<Float16, kBytes> : Halved<kBytes> {
    using typename Halved<kBytes>::Vector;
    using typename Halved<kBytes>::Words;
    static MPIDL_INLINE Vector load(const Float16 *from) {
        const Words bits = Halved<kBytes>::widened(from);
        // Exponent and fraction in their new place, then the difference of the two biases as a
        // product, which is exact for subnormal numbers too; infinities and NaN keep their exponent.
        const Words magnitude = (bits & 0x7fff) << 13;
        const Vector scaled = bits_of<Vector>(magnitude) * 0x1p112f;
        const Words special = magnitude | 0x7f800000;
        const Words value = (bits & 0x7c00) == 0x7c00 ? special : bits_of<Words>(scaled);
        return bits_of<Vector>(value | ((bits & 0x8000) << 16));
    }
    static MPIDL_INLINE void store(Float16 *to, const Vector &vector) {
        const Words bits = bits_of<Words>(vector);
        const Words magnitude = bits & 0x7fffffff;
        // Added to a half, a number below 2^-14 is rounded to the spacing of subnormal halves.
        const Words tiny = bits_of<Words>(bits_of<Vector>(magnitude) + 0.5f) - 0x3f000000;
        const Words odd = (magnitude >> 13) & 1;
        const Words normal = (magnitude - (112u << 23) + 0xfff + odd) >> 13;
        const Words huge = magnitude > 0x7f800000 ? Words{} + 0x7e00 : Words{} + 0x7c00;
        Words half = magnitude < (113u << 23) ? tiny : normal;
        half = magnitude >= (143u << 23) ? huge : half;
        Halved<kBytes>::narrowed(to, half | ((bits >> 16) & 0x8000));
    }
};

// A sparse matrix times vectors. Row i mixes members offsets[i] to offsets[i + 1].
struct Product {
    const std::int64_t *offsets;
    const std::uintptr_t *members;
    const double *weights;
    const std::uintptr_t *outs;
    std::size_t rows;
};

template <typename T>
using Sum = typename Stored<T, 16>::Sum;

template <typename T>
struct Member {
    const T *vector;
    Sum<T> weight;
};

// Rows without members of weight zero: what a dropped link left behind must not reach a sum.
template <typename T>
struct Rows {
    std::vector<std::size_t> first{0};
    std::vector<Member<T>> members;
    std::vector<const T *> sources;
    std::vector<bool> repeats;  // whether a row is the one before it again

    explicit Rows(const Product &product) {
        for (std::size_t row = 0; row < product.rows; ++row) {
            for (auto k = product.offsets[row]; k < product.offsets[row + 1]; ++k) {
                if (product.weights[k] == 0) continue;
                const auto *vector = reinterpret_cast<const T *>(product.members[k]);
                members.push_back({vector, static_cast<Sum<T>>(product.weights[k])});
                sources.push_back(vector);
            }
            repeats.push_back(row > 0 && repeated());
            first.push_back(members.size());
        }
        std::sort(sources.begin(), sources.end());
        sources.erase(std::unique(sources.begin(), sources.end()), sources.end());
    }

    bool repeated() const {
        const auto begin = members.begin(), last = begin + first.back();
        const auto same = [](const Member<T> &one, const Member<T> &other) {
            return one.vector == other.vector && one.weight == other.weight;
        };
        return std::equal(begin + first[first.size() - 2], last, last, members.end(), same);
    }
};

// Columns of a block: all vectors' share of it stays in the cache while rows are made from it.
template <typename T>
std::size_t block_of(std::size_t vectors) {
    const std::size_t fit = kCache / (sizeof(T) * std::max<std::size_t>(vectors, 1));
    std::size_t block = kTile;
    while (block > 256 && block > fit) block /= 2;
    return block;
}

// The kernels of one instruction set, by the bytes of its registers.
template <typename T, std::size_t kBytes>
struct Kernel {
    using In = Stored<T, kBytes>;
    using Vector = typename In::Vector;
    static constexpr std::size_t kLanes = kBytes / sizeof(Sum<T>);
    static constexpr std::size_t kChunk = kLanes * kRegisters;

    // Products are rounded before they are added (the build allows no fused multiply-add), so that
    // every instruction set, and the fallback without this kernel, gives the same bits. The indices
    // are constants, without which GCC would keep the sums in memory.
    template <std::size_t... kAt>
    static MPIDL_INLINE void chunk(const Member<T> *members, std::size_t count, std::size_t at,
                                   T *out, std::index_sequence<kAt...>) {
        const T *first = members[0].vector + at;
        // Not added to zero, which would lose the sign of a negative zero.
        Vector sum[] = {(In::load(first + kAt * kLanes) * members[0].weight)...};
        for (std::size_t k = 1; k < count; ++k) {
            const T *from = members[k].vector + at;
            const Sum<T> weight = members[k].weight;
            ((sum[kAt] += In::load(from + kAt * kLanes) * weight), ...);
        }
        (In::store(out + kAt * kLanes, sum[kAt]), ...);
    }

    // The last columns of a vector, through copies, so that they are made like all others.
    static void rest(const Member<T> *members, std::size_t count, std::size_t at,
                     std::size_t size, T *out) {
        for (std::size_t p = 0; p < size; ++p) {
            Sum<T> sum = 0;
            for (std::size_t k = 0; k < count; ++k) {
                T one[In::kLanes] = {members[k].vector[at + p]};
                const Sum<T> product = In::load(one)[0] * members[k].weight;
                sum = k == 0 ? product : sum + product;
            }
            Vector value = {};
            value[0] = sum;
            T one[In::kLanes];
            In::store(one, value);
            out[p] = one[0];
        }
    }

    // Past the cache, whole lines at a time: memory that is only written need not be read first.
    static MPIDL_INLINE void stream_chunk(const T *from, T *to) {
#if defined(__SSE2__)
        const auto *source = reinterpret_cast<const __m128i *>(from);
        auto *target = reinterpret_cast<__m128i *>(to);
        for (std::size_t i = 0; i < kChunk * sizeof(T) / sizeof(__m128i); ++i) {
            _mm_stream_si128(target + i, _mm_load_si128(source + i));
        }
#else
        std::memcpy(to, from, kChunk * sizeof(T));
#endif
    }

    static MPIDL_INLINE void row(const Member<T> *members, std::size_t count, const T *next,
                                 std::size_t begin, std::size_t end, bool stream, T *out) {
        constexpr auto registers = std::make_index_sequence<kRegisters>();
        if (count == 0) {
            std::memset(static_cast<void *>(out + begin), 0, (end - begin) * sizeof(T));
            return;
        }
        std::size_t at = begin;
        for (; at + kChunk <= end; at += kChunk) {
            if (next != nullptr) {
                const auto *line = reinterpret_cast<const char *>(next + (at - begin));
                for (std::size_t b = 0; b < kChunk * sizeof(T); b += kLine) {
                    __builtin_prefetch(line + b, 0, 2);
                }
            }
            if (stream) {
                alignas(kLine) T mixed[kChunk];
                chunk(members, count, at, mixed, registers);
                stream_chunk(mixed, out + at);
            } else {
                chunk(members, count, at, out + at, registers);
            }
        }
        if (at < end) rest(members, count, at, end - at, out + at);
    }

    // Columns start to stop of all rows; with `stream` the mixtures bypass the cache.
    static MPIDL_INLINE void columns(const Product &product, const Rows<T> &rows,
                                     std::size_t start, std::size_t stop, bool stream) {
        const std::size_t block = block_of<T>(rows.sources.size());
        for (std::size_t begin = start; begin < stop; begin += block) {
            const std::size_t end = std::min(begin + block, stop);
            for (std::size_t i = 0; i < product.rows; ++i) {
                T *out = reinterpret_cast<T *>(product.outs[i]);
                if (rows.repeats[i]) {
                    const T *same = reinterpret_cast<const T *>(product.outs[i - 1]);
                    std::memcpy(out + begin, same + begin, (end - begin) * sizeof(T));
                    continue;
                }
                // While this block is worked on, the next one of one more vector is fetched.
                const bool fetches = i < rows.sources.size() && end + block <= stop;
                row(rows.members.data() + rows.first[i], rows.first[i + 1] - rows.first[i],
                    fetches ? rows.sources[i] + end : nullptr, begin, end,
                    stream && product.outs[i] % 16 == 0, out);
            }
        }
#if defined(__SSE2__)
        if (stream) _mm_sfence();
#endif
    }

    // Squared distances of the mixtures from their mean, summed over a tile, one double a row.
    static MPIDL_INLINE void square_tile(const Product &product, std::size_t start,
                                         std::size_t stop, double *squares) {
        const Sum<T> weight = static_cast<Sum<T>>(1.0 / double(product.rows));
        Sum<T> mean[kTile], values[kTile + In::kLanes];
        const std::size_t size = stop - start;
        for (std::size_t i = 0; i < product.rows; ++i) {
            load(reinterpret_cast<const T *>(product.outs[i]) + start, size, values);
            for (std::size_t p = 0; p < size; ++p) {
                const Sum<T> share = values[p] * weight;
                mean[p] = i == 0 ? share : mean[p] + share;
            }
        }
        for (std::size_t i = 0; i < product.rows; ++i) {
            load(reinterpret_cast<const T *>(product.outs[i]) + start, size, values);
            squares[i] = apart(values, mean, size);
        }
    }

    // The squared distance of two vectors; every instruction set adds in the same order.
    static MPIDL_INLINE double apart(const Sum<T> *values, const Sum<T> *mean, std::size_t size) {
        constexpr std::size_t kWide = 16;
        double sums[kWide] = {}, total = 0;
        std::size_t p = 0;
        for (; p + kWide <= size; p += kWide) {
            for (std::size_t lane = 0; lane < kWide; ++lane) {
                const double gap = values[p + lane] - mean[p + lane];
                sums[lane] += gap * gap;
            }
        }
        for (; p < size; ++p) {
            const double gap = values[p] - mean[p];
            sums[p % kWide] += gap * gap;
        }
        for (const double sum : sums) total += sum;
        return total;
    }

    // For each tile of a vector its squared distance from a mean, (tiles,).
    static MPIDL_INLINE void tiles_apart(const T *vector, const Sum<T> *mean, std::size_t size,
                                         double *squares) {
        Sum<T> values[kTile + In::kLanes];
        for (std::size_t tile = 0; tile < size; tile += kTile) {
            const std::size_t count = std::min(kTile, size - tile);
            load(vector + tile, count, values);
            squares[tile / kTile] = apart(values, mean + tile, count);
        }
    }

    static MPIDL_INLINE void load(const T *from, std::size_t size, Sum<T> *to) {
        std::size_t p = 0;
        for (; p + In::kLanes <= size; p += In::kLanes) {
            const Vector values = In::load(from + p);
            std::memcpy(to + p, &values, sizeof(values));
        }
        T last[In::kLanes] = {};
        std::copy(from + p, from + size, last);
        const Vector values = In::load(last);
        std::memcpy(to + p, &values, sizeof(values));
    }

    // Mix columns; with `squares`, (tiles, rows), also measure how far the mixtures are apart.
    static MPIDL_INLINE void mix(const Product &product, std::size_t start, std::size_t stop,
                                 bool stream, double *squares) {
        const Rows<T> rows(product);
        // A row that is copied from the one before it needs that one in the cache.
        for (const bool repeats : rows.repeats) stream = stream && !repeats;
        if (squares == nullptr) {
            columns(product, rows, start, stop, stream);
            return;
        }
        for (std::size_t tile = start; tile < stop; tile += kTile) {
            const std::size_t end = std::min(tile + kTile, stop);
            columns(product, rows, tile, end, false);
            square_tile(product, tile, end, squares + tile / kTile * product.rows);
        }
    }
};

#define MPIDL_ARGUMENTS \
    const Product &product, std::size_t start, std::size_t stop, bool stream, double *squares

template <typename T>
void mix_portable(MPIDL_ARGUMENTS) {
    Kernel<T, 16>::mix(product, start, stop, stream, squares);
}

#if defined(__x86_64__)
template <typename T>
__attribute__((target("avx2"))) void mix_avx2(MPIDL_ARGUMENTS) {
    Kernel<T, 32>::mix(product, start, stop, stream, squares);
}

template <typename T>
__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))) void mix_avx512(MPIDL_ARGUMENTS) {
    Kernel<T, 64>::mix(product, start, stop, stream, squares);
}
#endif

enum class Instructions { kPortable, kAvx2, kAvx512 };

// The widest instruction set of this processor.
inline Instructions widest() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
        return Instructions::kAvx512;
    }
    if (__builtin_cpu_supports("avx2")) return Instructions::kAvx2;
#endif
    return Instructions::kPortable;
}

template <typename T>
void mix(MPIDL_ARGUMENTS, Instructions instructions = widest()) {
#if defined(__x86_64__)
    if (instructions == Instructions::kAvx512) {
        return mix_avx512<T>(product, start, stop, stream, squares);
    }
    if (instructions == Instructions::kAvx2) {
        return mix_avx2<T>(product, start, stop, stream, squares);
    }
#endif
    mix_portable<T>(product, start, stop, stream, squares);
}

#undef MPIDL_ARGUMENTS

// For each tile of a vector its squared distance from a mean.
template <typename T>
void apart(const T *vector, const Sum<T> *mean, std::size_t size, double *squares) {
    Kernel<T, 16>::tiles_apart(vector, mean, size, squares);
}

}  // namespace mpidl
