// Processes of one node wait for each other asleep, on a futex in memory that they share.
#pragma once

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <ctime>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#define MPIDL_GATES 1

namespace mpidl {

// Zero-filled shared memory is a closed gate at which nobody waits yet.
struct Gate {
    std::atomic<std::uint32_t> arrived;
    std::atomic<std::uint32_t> opened;
};
static_assert(sizeof(Gate) == 8 && std::atomic<std::uint32_t>::is_always_lock_free);

inline long futex(std::atomic<std::uint32_t> *word, int operation, std::uint32_t value,
                        const timespec *patience) {
    return syscall(SYS_futex, reinterpret_cast<std::uint32_t *>(word), operation, value, patience,
                   nullptr, 0);
}

// Come to the gate; the last one opens it. Returns the ticket to wait with.
inline std::uint32_t arrive(Gate &gate, std::uint32_t ranks) {
    const std::uint32_t ticket = gate.opened.load(std::memory_order_relaxed);
    if (gate.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == ranks) {
        gate.arrived.store(0, std::memory_order_relaxed);
        gate.opened.store(ticket + 1, std::memory_order_release);
        futex(&gate.opened, FUTEX_WAKE, INT_MAX, nullptr);
    }
    return ticket;
}

// Whether the gate opened within so many seconds; false too after a signal, for its handler.
inline bool wait(const Gate &gate, std::uint32_t ticket, std::size_t spins, double seconds) {
    auto &opened = const_cast<Gate &>(gate).opened;
    for (std::size_t spin = 0; spin < spins; ++spin) {
        if (opened.load(std::memory_order_acquire) != ticket) return true;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    const timespec patience{time_t(seconds), long((seconds - double(time_t(seconds))) * 1e9)};
    while (opened.load(std::memory_order_acquire) == ticket) {
        if (futex(&opened, FUTEX_WAIT, ticket, &patience) == 0 || errno == EAGAIN) continue;
        return opened.load(std::memory_order_acquire) != ticket;
    }
    return true;
}

}  // namespace mpidl
#endif
