// The kernels of every instruction set of this processor against plain loops, and the gate
// between processes; built with sanitizers by tests/ranks/test_native.py.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include "gate.hpp"
#include "mix.hpp"

using namespace mpidl;

namespace {

int failures = 0;

void expect(bool right, const char *what, std::size_t size, int instructions) {
    if (!right) {
        std::printf("wrong: %s, %zu columns, instructions %d\n", what, size, instructions);
        ++failures;
    }
}

// One number at a time, by the portable kernel's own conversions.
template <typename T>
Sum<T> value(const T &stored) {
    constexpr std::size_t lanes = Stored<T, 16>::kLanes;
    T one[lanes] = {stored};
    return Stored<T, 16>::load(one)[0];
}

template <typename T>
T rounded(Sum<T> sum) {
    constexpr std::size_t lanes = Stored<T, 16>::kLanes;
    typename Stored<T, 16>::Vector vector = {};
    vector[0] = sum;
    T one[lanes];
    Stored<T, 16>::store(one, vector);
    return one[0];
}

template <typename T>
bool same(const T &a, const T &b) {
    return std::memcmp(&a, &b, sizeof(T)) == 0;
}

template <typename T>
void check(const char *name, std::size_t size, std::size_t offset, bool stream, Instructions how) {
    std::mt19937 draw(7);
    std::normal_distribution<double> normal;
    constexpr std::size_t vectors = 5, rows = 6;
    // Exactly as large as needed, so that a sanitizer sees every step beyond.
    std::vector<std::vector<T>> x(vectors), out(rows);
    for (auto &vector : x) {
        vector.resize(size + offset);
        for (auto &number : vector) number = rounded<T>(Sum<T>(normal(draw)));
    }
    for (auto &vector : out) vector.resize(size + offset);
    // A row of one, of all, with a zero, the same again, and one without any weight.
    const std::vector<std::vector<std::size_t>> members = {{0}, {1, 0, 2, 3, 4}, {2, 1, 3},
                                                           {2, 1, 3}, {4, 0}, {3}};
    std::vector<std::int64_t> offsets{0};
    std::vector<std::uintptr_t> from, to;
    std::vector<double> weights;
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t k = 0; k < members[i].size(); ++k) {
            from.push_back(reinterpret_cast<std::uintptr_t>(x[members[i][k]].data() + offset));
            weights.push_back(i == 5 || (i == 1 && k == 2) ? 0 : 1.0 / double(k + 2));
        }
        offsets.push_back(std::int64_t(from.size()));
        to.push_back(reinterpret_cast<std::uintptr_t>(out[i].data() + offset));
    }
    const Product product{offsets.data(), from.data(), weights.data(), to.data(), rows};
    const std::size_t tiles = (size + kTile - 1) / kTile;
    std::vector<double> squares(tiles * rows);
    mix<T>(product, 0, size, stream, nullptr, how);
    std::vector<std::vector<T>> first = out;
    mix<T>(product, 0, size, stream, squares.data(), how);
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t p = 0; p < size; ++p) {
            Sum<T> sum = 0;
            bool any = false;
            for (std::size_t k = 0; k < members[i].size(); ++k) {
                const double weight = weights[std::size_t(offsets[i]) + k];
                if (weight == 0) continue;
                const Sum<T> part = value(x[members[i][k]][p + offset]) * Sum<T>(weight);
                sum = any ? sum + part : part;
                any = true;
            }
            expect(same(out[i][p + offset], rounded<T>(sum)), name, size, int(how));
            expect(same(out[i][p + offset], first[i][p + offset]), "squares", size, int(how));
        }
    }
    for (std::size_t tile = 0; tile < tiles; ++tile) {
        for (std::size_t i = 0; i < rows; ++i) {
            double want = 0;
            for (std::size_t p = tile * kTile; p < std::min(size, (tile + 1) * kTile); ++p) {
                double mean = 0;
                for (const auto &vector : out) mean += double(value(vector[p + offset])) / rows;
                const double gap = double(value(out[i][p + offset])) - mean;
                want += gap * gap;
            }
            const double found = squares[tile * rows + i];
            expect(std::abs(found - want) <= 1e-5 * want + 1e-9, "distance", size, int(how));
        }
    }
}

void check_numbers() {
    const Instructions best = widest();
    for (int how = 0; how <= int(best); ++how) {
        for (const std::size_t size : {1, 33, 127, 256, 4097, 9001}) {
            for (const bool stream : {false, true}) {
                for (const std::size_t offset : {0, 1}) {
                    const auto set = static_cast<Instructions>(how);
                    check<float>("float32", size, offset, stream, set);
                    check<double>("float64", size, offset, stream, set);
                    check<BFloat16>("bfloat16", size, offset, stream, set);
                    check<Float16>("float16", size, offset, stream, set);
                }
            }
        }
    }
    // Halves of every number of 16 bits: what is rounded to a neighbor, to zero, to infinity.
    for (std::uint32_t bits = 0; bits < 1u << 16; ++bits) {
        const Float16 half{std::uint16_t(bits)};
        const BFloat16 brain{std::uint16_t(bits)};
        const float a = value(half), b = value(brain);
        expect(std::isnan(a) || same(rounded<Float16>(a), half), "float16 back", bits, 0);
        expect(std::isnan(b) || same(rounded<BFloat16>(b), brain), "bfloat16 back", bits, 0);
        expect(!std::isnan(a) || std::isnan(value(rounded<Float16>(a))), "NaN", bits, 0);
        expect(!std::isnan(b) || std::isnan(value(rounded<BFloat16>(b))), "NaN", bits, 0);
    }
}

void check_gate() {
    constexpr int ranks = 5, turns = 2000;
    struct Shared {
        Gate gate;
        int counts[ranks];
    };
    void *memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    auto *shared = static_cast<Shared *>(memory);
    const auto meet = [&](int rank) {
        const std::size_t spins = rank % 2 ? 0 : 50;
        const std::uint32_t ticket = arrive(shared->gate, ranks);
        while (!wait(shared->gate, ticket, spins, 0.001)) {
        }
    };
    for (int rank = 0; rank < ranks; ++rank) {
        if (fork() == 0) {
            for (int turn = 1; turn <= turns; ++turn) {
                __atomic_store_n(&shared->counts[rank], turn, __ATOMIC_RELAXED);
                meet(rank);
                for (const int &count : shared->counts) {
                    if (__atomic_load_n(&count, __ATOMIC_RELAXED) != turn) _exit(1);
                }
                meet(rank);
            }
            _exit(0);
        }
    }
    for (int rank = 0; rank < ranks; ++rank) {
        int status = 0;
        ::wait(&status);
        expect(status == 0, "gate", 0, 0);
    }
    // Nobody else comes: the patience ends.
    const std::uint32_t ticket = arrive(shared->gate, 2);
    expect(!wait(shared->gate, ticket, 10, 0.01), "patience", 0, 0);
    munmap(memory, sizeof(Shared));
}

}  // namespace

int main() {
    check_numbers();
    check_gate();
    std::printf("%d wrong\n", failures);
    return failures == 0 ? 0 : 1;
}
