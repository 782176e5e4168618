// A CUDA device that is host memory, for a torch that knows no CUDA.
//
// Every operator on a "cuda" tensor is handed to the kernel of the processor, on the same memory;
// operands on several devices are refused as CUDA refuses them. What follows is, in this order, the
// memory, the devices, the operators, what torch asks of CUDA (its hooks), and what Python calls.

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/Allocator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/extension.h>
#include <torch/library.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace {

using at::Tensor;

constexpr c10::DeviceType KIND = c10::kCUDA;
constexpr c10::DispatchKey KEY = c10::DispatchKey::CUDA;

constexpr size_t LINE = 512;        // what CUDA's addresses are multiples of
constexpr size_t LARGE = 1u << 20;  // from here on freed memory goes back to the system, and memory
                                    // that is taken is poisoned only so far
constexpr int POISON = 0xAB;        // what memory holds that nobody has written, or that is freed

thread_local c10::DeviceIndex current = 0;
constexpr c10::DeviceIndex devices = 16;  // Python says how many of them are there

// --- memory ------------------------------------------------------------------------------------

// The memory of all devices of this process: one file without a name, so that another process can
// map it as it would by CUDA IPC, and in it the first gap that is large enough.
class Arena {
 public:
  void open(size_t bytes) {
    size_ = bytes;
    file_ = memfd_create("fake_cuda", MFD_CLOEXEC);
    if (file_ < 0 || ftruncate(file_, static_cast<off_t>(bytes)) != 0) throw std::bad_alloc();
    base_ = map(file_, bytes);
    gaps_[0] = bytes;
  }

  static char* map(int file, size_t bytes) {
    void* place =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    if (place == MAP_FAILED) throw std::bad_alloc();
    return static_cast<char*>(place);
  }

  void* take(size_t bytes) {
    const size_t wanted = (bytes + LINE - 1) / LINE * LINE;
    std::lock_guard<std::mutex> lock(mutex_);
    auto gap = std::find_if(
        gaps_.begin(), gaps_.end(), [&](const auto& one) { return one.second >= wanted; });
    TORCH_CHECK_WITH(
        OutOfMemoryError, gap != gaps_.end(), "CUDA out of memory. Tried to allocate ", bytes,
        " bytes. GPU ", static_cast<int>(current), " has a total capacity of ", size_,
        " bytes of which ", size_ - used_, " bytes are free.");
    const auto [at, length] = *gap;
    gaps_.erase(gap);
    if (length > wanted) gaps_[at + wanted] = length - wanted;
    blocks_[at] = wanted;
    used_ += wanted;
    peak_ = std::max(peak_, used_);
    memset(base_ + at, POISON, std::min(bytes, LARGE));
    return base_ + at;
  }

  void give_back(void* place) {
    std::lock_guard<std::mutex> lock(mutex_);
    const size_t at = offset(place);
    auto block = blocks_.find(at);
    TORCH_INTERNAL_ASSERT(block != blocks_.end(), "fake cuda: memory is freed that is not taken");
    size_t length = block->second;
    blocks_.erase(block);
    used_ -= length;
    if (length < LARGE)
      memset(place, POISON, length);
    else
      discard(at, length);
    auto after = gaps_.lower_bound(at);
    if (after != gaps_.end() && after->first == at + length) {
      length += after->second;
      after = gaps_.erase(after);
    }
    if (after != gaps_.begin() && std::prev(after)->first + std::prev(after)->second == at)
      std::prev(after)->second += length;
    else
      gaps_[at] = length;
  }

  bool holds(const void* place) const { return place >= base_ && place < base_ + size_; }
  size_t offset(const void* place) const { return static_cast<const char*>(place) - base_; }
  int file() const { return file_; }
  size_t size() const { return size_; }
  size_t used() const { return used_; }
  size_t peak() const { return peak_; }
  size_t count() const { return blocks_.size(); }

 private:
  void discard(size_t at, size_t length) {
    const size_t page = 4096, first = (at + page - 1) / page * page;
    const size_t last = (at + length) / page * page;
    fallocate(
        file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(first),
        static_cast<off_t>(last - first));
  }

  std::mutex mutex_;
  int file_ = -1;
  char* base_ = nullptr;
  size_t size_ = 0, used_ = 0, peak_ = 0;
  std::map<size_t, size_t> gaps_, blocks_;
};

// Never destroyed: tensors may outlive what a library destroys at its end.
Arena& arena() {
  static auto* one = new Arena;
  return *one;
}

void give_back(void* place) {
  if (place) arena().give_back(place);
}

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* place = bytes ? arena().take(bytes) : nullptr;
    return {place, place, &give_back, c10::Device(KIND, current)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    memcpy(to, from, bytes);
  }
};
Memory memory;

// Pinned memory of the host: ordinary memory that is known to be pinned.
class Pinned final : public at::HostAllocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* place = nullptr;
    if (bytes && posix_memalign(&place, LINE, bytes) != 0) throw std::bad_alloc();
    std::lock_guard<std::mutex> lock(mutex());
    if (place) blocks()[static_cast<char*>(place)] = bytes;
    return {place, place, &free_, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    memcpy(to, from, bytes);
  }
  bool record_event(void*, void*, c10::Stream) override { return true; }
  void empty_cache() override {}
  at::HostStats get_stats() override { return {}; }
  void reset_accumulated_stats() override {}
  void reset_peak_stats() override {}

  static bool holds(const void* place) {
    std::lock_guard<std::mutex> lock(mutex());
    auto after = blocks().upper_bound(const_cast<char*>(static_cast<const char*>(place)));
    if (after == blocks().begin()) return false;
    --after;
    return place < after->first + after->second;
  }

 private:
  static void free_(void* place) {
    if (!place) return;
    std::lock_guard<std::mutex> lock(mutex());
    blocks().erase(static_cast<char*>(place));
    free(place);
  }
  static std::mutex& mutex() {
    static auto* one = new std::mutex;
    return *one;
  }
  static std::map<char*, size_t>& blocks() {
    static auto* one = new std::map<char*, size_t>;
    return *one;
  }
};
Pinned pinned;

// --- devices -----------------------------------------------------------------------------------

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return KIND; }
  c10::Device exchangeDevice(c10::Device device) const override {
    const c10::Device before(KIND, current);
    setDevice(device);
    return before;
  }
  c10::Device getDevice() const override { return {KIND, current}; }
  void setDevice(c10::Device device) const override {
    TORCH_CHECK(
        device.index() < devices, "CUDA error: invalid device ordinal: ",
        static_cast<int>(device.index()));
    current = device.index();
  }
  void uncheckedSetDevice(c10::Device device) const noexcept override { current = device.index(); }
  c10::Stream getStream(c10::Device device) const override { return getDefaultStream(device); }
  c10::Stream getDefaultStream(c10::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    return getDefaultStream(stream.device());
  }
  c10::DeviceIndex deviceCount() const noexcept override { return devices; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag)
      const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
};
Guard guard;

// --- operators ---------------------------------------------------------------------------------

bool here(const Tensor& tensor) { return tensor.defined() && tensor.device().type() == KIND; }

// The same memory as a tensor of the processor, which keeps the original alive.
Tensor lowered(const Tensor& tensor) {
  if (!here(tensor)) return tensor;
  auto* storage = tensor.storage().unsafeGetStorageImpl();
  c10::DataPtr place(
      storage->mutable_data(), new Tensor(tensor),
      [](void* kept) { delete static_cast<Tensor*>(kept); }, c10::Device(c10::kCPU));
  c10::Storage same(
      c10::Storage::use_byte_size_t(), storage->nbytes(), std::move(place), at::getCPUAllocator(),
      /*resizable=*/true);
  Tensor out = at::detail::make_tensor<c10::TensorImpl>(
      std::move(same), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
  auto* impl = out.unsafeGetTensorImpl();
  impl->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) impl->set_wrapped_number(true);
  return out;
}

// A copy of a tensor of the processor on the current device.
Tensor raised(const Tensor& tensor) {
  if (!tensor.defined() || here(tensor)) return tensor;
  Tensor out = at::detail::empty_strided_generic(
      tensor.sizes(), tensor.strides(), &memory, c10::DispatchKeySet(KEY), tensor.scalar_type());
  if (tensor.numel()) lowered(out).copy_(tensor);
  return out;
}

// What an operator returned as a view of the lowered form of a tensor, as a view of that tensor.
Tensor viewed(const Tensor& view, const Tensor& of) {
  if (here(view)) return view;
  Tensor out = at::detail::make_tensor<c10::TensorImpl>(
      c10::TensorImpl::VIEW, c10::Storage(of.storage()), of.key_set(), view.dtype());
  out.unsafeGetTensorImpl()->set_sizes_and_strides(
      view.sizes(), view.strides(), view.storage_offset());
  return out;
}

// Let a tensor be what an operator made of its lowered form, which may have got more memory.
void adopt(const Tensor& original, const Tensor& lower) {
  auto* storage = original.storage().unsafeGetStorageImpl();
  if (lower.storage().data() != storage->data()) {
    auto fresh = memory.allocate(lower.storage().nbytes());
    memcpy(fresh.get(), lower.storage().data(), lower.storage().nbytes());
    storage->set_data_ptr_noswap(std::move(fresh));
    storage->set_nbytes(lower.storage().nbytes());
  }
  if (original.sizes() != lower.sizes() || original.strides() != lower.strides())
    original.unsafeGetTensorImpl()->set_sizes_and_strides(
        lower.sizes(), lower.strides(), lower.storage_offset());
}

template <typename Visit>
void each_tensor(const c10::IValue& value, Visit visit) {
  if (value.isTensor()) {
    visit(value.toTensor());
  } else if (value.isTensorList()) {
    for (const Tensor& tensor : value.toTensorVector()) visit(tensor);
  } else if (value.isOptionalTensorList()) {
    for (const std::optional<Tensor>& tensor : value.toOptionalTensorList())
      if (tensor) visit(*tensor);
  }
}

c10::IValue lowered(const c10::IValue& value) {
  if (value.isTensor()) return lowered(value.toTensor());
  if (value.isDevice()) return c10::Device(c10::kCPU);
  if (value.isTensorList()) {
    std::vector<Tensor> out;
    for (const Tensor& tensor : value.toTensorVector()) out.push_back(lowered(tensor));
    return out;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<Tensor>> out;
    for (const std::optional<Tensor>& tensor : value.toOptionalTensorList())
      out.push_back(tensor ? std::optional<Tensor>(lowered(*tensor)) : tensor);
    return out;
  }
  return value;
}

// Operators that take indices of the processor for tensors of the device, as CUDA does.
bool may_mix(const std::string& name) {
  static const std::set<std::string> names{
      "aten::index.Tensor", "aten::index.Tensor_out", "aten::index_put_",
      "aten::_index_put_impl_"};
  return names.count(name) > 0;
}

// The device on which an operator works; refuses operands on several.
c10::Device common(const std::string& name, const std::vector<c10::IValue>& arguments) {
  std::optional<c10::Device> found, other;
  auto look = [&](const Tensor& tensor) {
    if (!tensor.defined() || (tensor.dim() == 0 && !here(tensor))) return;
    if (!found) found = tensor.device();
    if (tensor.device() != *found) other = tensor.device();
  };
  for (const auto& value : arguments) {
    each_tensor(value, look);
    if (!found && value.isDevice() && value.toDevice().type() == KIND) {
      const auto index = value.toDevice().index();
      found = c10::Device(KIND, index < 0 ? current : index);
    }
  }
  TORCH_CHECK(
      !other || may_mix(name),
      "Expected all tensors to be on the same device, but found at least two devices, ",
      found->str(), " and ", other->str(), "! (when running ", name, ")");
  return found && found->type() == KIND ? *found : c10::Device(KIND, current);
}

// The argument, by number, that a returned value is, or is a view of.
std::optional<size_t> source(const c10::FunctionSchema& schema, const c10::Argument& returned) {
  if (!returned.alias_info()) return std::nullopt;
  for (size_t i = 0; i < schema.arguments().size(); i++) {
    const auto* alias = schema.arguments()[i].alias_info();
    if (alias && *alias == *returned.alias_info()) return i;
  }
  return std::nullopt;
}

// The operators that were called. The threads of autograd call some, too.
class Called {
 public:
  void note(const std::string& name) {
    std::lock_guard<std::mutex> lock(mutex_);
    names_.insert(name);
  }
  std::set<std::string> names() {
    std::lock_guard<std::mutex> lock(mutex_);
    return names_;
  }

 private:
  std::mutex mutex_;
  std::set<std::string> names_;
};
Called called;

void by_processor(const c10::OperatorHandle& handle, torch::jit::Stack* stack) {
  const auto& schema = handle.schema();
  const auto& overload = schema.overload_name();
  const std::string name = schema.name() + (overload.empty() ? "" : "." + overload);
  called.note(name);
  const size_t count = schema.arguments().size();
  const std::vector<c10::IValue> given(stack->end() - count, stack->end());
  const c10::DeviceGuard on(common(name, given));

  torch::jit::drop(*stack, count);
  std::vector<c10::IValue> lower;
  for (const auto& value : given) lower.push_back(lowered(value));
  for (const auto& value : lower) stack->push_back(value);
  handle.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);

  for (size_t i = 0; i < count; i++) {
    const auto* alias = schema.arguments()[i].alias_info();
    if (!alias || !alias->isWrite()) continue;
    std::vector<Tensor> originals;
    each_tensor(given[i], [&](const Tensor& tensor) { originals.push_back(tensor); });
    size_t next = 0;
    each_tensor(lower[i], [&](const Tensor& tensor) {
      if (here(originals[next])) adopt(originals[next], tensor);
      next++;
    });
  }

  const auto& returns = schema.returns();
  for (size_t r = 0; r < returns.size(); r++) {
    auto& value = (*stack)[stack->size() - returns.size() + r];
    const auto from = source(schema, returns[r]);
    const bool written = from && returns[r].alias_info()->isWrite();
    auto own = [&](const Tensor& tensor) {
      if (!from || !given[*from].isTensor()) return raised(tensor);
      return written ? given[*from].toTensor() : viewed(tensor, given[*from].toTensor());
    };
    if (value.isTensor()) {
      value = own(value.toTensor());
    } else if (value.isTensorList()) {
      std::vector<Tensor> out;
      for (const Tensor& tensor : value.toTensorVector()) out.push_back(own(tensor));
      value = out;
    }
  }
}

Tensor empty(
    c10::SymIntArrayRef size, std::optional<at::ScalarType> number, std::optional<at::Layout>,
    std::optional<at::Device> device, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const c10::OptionalDeviceGuard on(device);
  return at::detail::empty_generic(
      C10_AS_INTARRAYREF_SLOW(size), &memory, c10::DispatchKeySet(KEY),
      c10::dtype_or_default(number), format);
}

Tensor empty_strided(
    c10::SymIntArrayRef size, c10::SymIntArrayRef stride, std::optional<at::ScalarType> number,
    std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool>) {
  const c10::OptionalDeviceGuard on(device);
  return at::detail::empty_strided_generic(
      C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), &memory,
      c10::DispatchKeySet(KEY), c10::dtype_or_default(number));
}

Tensor& copy(Tensor& self, const Tensor& source, bool) {
  called.note("aten::copy_");
  lowered(self).copy_(lowered(source));
  return self;
}

Tensor& set_storage(
    Tensor& self, c10::Storage source, c10::SymInt offset, c10::SymIntArrayRef size,
    c10::SymIntArrayRef stride) {
  TORCH_CHECK(
      source.device().type() == KIND, "Attempted to set the storage of a tensor on device \"cuda\""
      " to a storage on another device");
  auto* impl = self.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(std::move(source));
  const auto sizes = C10_AS_INTARRAYREF_SLOW(size);
  if (stride.empty() && !size.empty()) {
    impl->set_sizes_contiguous(sizes);
    impl->set_storage_offset(offset.expect_int());
  } else {
    impl->set_sizes_and_strides(sizes, C10_AS_INTARRAYREF_SLOW(stride), offset.expect_int());
  }
  const auto needed = at::detail::computeStorageNbytes(
      self.sizes(), self.strides(), self.itemsize(), self.storage_offset());
  TORCH_CHECK(
      !self.numel() || needed <= self.storage().nbytes(),
      "setStorage: sizes and strides reach beyond the storage");
  return self;
}

Tensor& set_whole_storage(Tensor& self, c10::Storage source) {
  const auto length = static_cast<int64_t>(source.nbytes() / self.itemsize());
  return self.set_(source, 0, {length}, {});
}

// --- what torch asks of CUDA -------------------------------------------------------------------

struct Hooks final : at::CUDAHooksInterface {
  explicit Hooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool hasCUDART() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool isPinnedPtr(const void* place) const override { return Pinned::holds(place); }
  c10::DeviceIndex current_device() const override { return current; }
  c10::DeviceIndex deviceCount() const override { return devices; }
  int getNumGPUs() const override { return devices; }
  c10::DeviceIndex getCurrentDevice() const override { return current; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned; }
  c10::Allocator* getCUDADeviceAllocator() const override { return &memory; }
  at::Device getDeviceFromPtr(void* place) const override {
    TORCH_CHECK(arena().holds(place), "The specified pointer resides on host memory");
    return {KIND, current};
  }
};

}  // namespace

namespace at {
using CUDAHooks = Hooks;  // torch looks for this name
REGISTER_CUDA_HOOKS(CUDAHooks)
}  // namespace at

TORCH_LIBRARY_IMPL(_, CUDA, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&by_processor>());
}

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("copy_", copy);
  // These have a way of their own on CUDA, by kernels that a processor has not or does not take.
  for (const char* name : {"convolution", "convolution_backward", "native_layer_norm"})
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&by_processor>());
  library.impl("set_.source_Storage", set_whole_storage);
  library.impl("set_.source_Storage_storage_offset", set_storage);
}

// --- what Python calls -------------------------------------------------------------------------

namespace {

// Another process' memory, for as long as some tensor uses it.
struct Mapping {
  char* base;
  size_t bytes;
  static void close(void* context) {
    auto* mapping = static_cast<Mapping*>(context);
    munmap(mapping->base, mapping->bytes);
    delete mapping;
  }
};

using Handle = std::tuple<int, int, size_t>;  // process, its file, and the size of that

std::tuple<Handle, size_t, size_t> share(const Tensor& tensor) {
  const auto* storage = tensor.storage().unsafeGetStorageImpl();
  TORCH_CHECK(
      here(tensor) && arena().holds(storage->data()),
      "CUDA error: invalid argument: only own memory of a device is shared");
  return {
      {getpid(), arena().file(), arena().size()},
      storage->nbytes(),
      arena().offset(storage->data())};
}

// Give the memory of a tensor another size, as its storage's resize_ does.
void resize(const Tensor& tensor, size_t bytes) {
  auto* storage = tensor.storage().unsafeGetStorageImpl();
  TORCH_CHECK(storage->resizable(), "Trying to resize storage that is not resizable");
  const c10::DeviceGuard on(tensor.device());
  auto fresh = memory.allocate(bytes);
  if (bytes) memcpy(fresh.get(), storage->data(), std::min(bytes, storage->nbytes()));
  storage->set_data_ptr_noswap(std::move(fresh));
  storage->set_nbytes(bytes);
}

Tensor mapped(c10::DeviceIndex device, Handle handle, size_t bytes, size_t offset) {
  const auto [process, file, size] = handle;
  TORCH_CHECK(process != getpid(), "CUDA error: invalid device context");
  const auto path = "/proc/" + std::to_string(process) + "/fd/" + std::to_string(file);
  const int opened = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  TORCH_CHECK(opened >= 0, "CUDA error: invalid resource handle: ", path, ": ", strerror(errno));
  auto* mapping = new Mapping{Arena::map(opened, size), size};
  close(opened);
  c10::DataPtr place(
      mapping->base + offset, mapping, &Mapping::close, c10::Device(KIND, device));
  c10::Storage storage(
      c10::Storage::use_byte_size_t(), bytes, std::move(place), nullptr, /*resizable=*/false);
  Tensor out = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(KEY), caffe2::TypeMeta::Make<uint8_t>());
  out.unsafeGetTensorImpl()->set_sizes_contiguous({static_cast<int64_t>(bytes)});
  return out;
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.doc() = "A CUDA device that is host memory.";
  module.def(
      "start",
      [](size_t bytes) {
        arena().open(bytes);
        c10::SetAllocator(KIND, &memory, 100);
        at::setHostAllocator(KIND, &pinned, 100);
        c10::impl::registerDeviceGuard(KIND, &guard);
      },
      "Begin with devices that together have so many bytes.");
  module.def("current", []() { return current; });
  module.def("set_current", [](c10::DeviceIndex index) { guard.setDevice({KIND, index}); });
  module.def("share", &share, "What another process maps the memory of a tensor by.");
  module.def("resize", &resize, "Give the memory of a tensor so many bytes.");
  module.def("mapped", &mapped, "The memory of another process, as bytes.");
  module.def("lowered", [](const Tensor& tensor) { return lowered(tensor); },
             "The same memory as a tensor of the processor.");
  module.def("operators", []() { return called.names(); }, "Those that were called.");
  module.def("memory", []() {
    return std::make_tuple(arena().size(), arena().used(), arena().peak(), arena().count());
  }, "Bytes that there are, are used, and were used at most; and how many tensors use them.");
}
