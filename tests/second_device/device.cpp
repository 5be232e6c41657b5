// A device for PyTorch that is not the processor, on a machine that has nothing else.
//
// Its memory is the processor's, and so is its arithmetic; but its tensors are no `cpu` tensors, and an operation that is given
// both is refused, as a GPU refuses it. What forgets to move a tensor therefore fails here.
// Built for PyTorch's PrivateUse1 key: https://docs.pytorch.org/tutorials/advanced/privateuseone.html

#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_local_scalar_dense_native.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

namespace {

using at::Tensor;
using c10::Device;
using c10::IntArrayRef;
using c10::Stream;

constexpr auto kHere = c10::DeviceType::PrivateUse1;

struct Guard final : c10::impl::DeviceGuardImplInterface {
  static constexpr auto static_type = kHere;
  c10::DeviceType type() const override { return kHere; }
  Device exchangeDevice(Device) const override { return getDevice(); }
  Device getDevice() const override { return {kHere, 0}; }
  void setDevice(Device) const override {}
  void uncheckedSetDevice(Device) const noexcept override {}
  Stream getStream(Device) const override { return Stream(Stream::DEFAULT, getDevice()); }
  Stream exchangeStream(Stream stream) const override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t size) override {
    void* place = size ? std::malloc(size) : nullptr;
    return {place, place, &std::free, {kHere, 0}};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, std::size_t size) const override { std::memcpy(to, from, size); }
};
Memory memory;
REGISTER_ALLOCATOR(kHere, &memory);

struct Hooks final : at::PrivateUse1HooksInterface {
  Hooks() { at::RegisterPrivateUse1HooksInterface(this); }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isAvailable() const override { return true; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return at::detail::getDefaultCPUGenerator(); }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::detail::createCPUGenerator(); }
};
Hooks hooks;

// The same memory as the processor sees it.
Tensor bare(const Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  return at::from_blob(const_cast<void*>(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(), tensor.options().device(at::kCPU));
}

Tensor empty(IntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>, std::optional<Device>, std::optional<bool>,
             std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(type), format);
}

Tensor empty_strided(IntArrayRef size, IntArrayRef stride, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                     std::optional<Device>, std::optional<bool>) {
  const c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);
  return at::detail::empty_strided_generic(size, stride, &memory, keys, c10::dtype_or_default(type));
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  bare(to).copy_(bare(from));
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

const Tensor& resize_(const Tensor& tensor, c10::SymIntArrayRef size, std::optional<at::MemoryFormat>) {
  at::native::resize_impl_cpu_(tensor.unsafeGetTensorImpl(), C10_AS_INTARRAYREF_SLOW(size), std::nullopt);
  return tensor;
}

at::Scalar scalar(const Tensor& tensor) { return at::native::_local_scalar_dense_cpu(bare(tensor)); }

// Plain attention out of the operations below, as none of PyTorch's fused kernels is for this device.
int64_t plain_attention(const Tensor&, const Tensor&, const Tensor&, const std::optional<Tensor>&, double, bool, std::optional<double>,
                        bool) {
  return 0;
}

// As on a GPU, numbers without dimensions and the indices of an indexing may be on the processor.
void refuse_mixture(const c10::OperatorHandle& operation, const torch::jit::Stack& stack) {
  static const std::set<std::string> indexing{"aten::index", "aten::_unsafe_index", "aten::index_put_", "aten::_index_put_impl_"};
  bool here = false, processor = false;
  const auto look = [&](const Tensor& tensor) {
    if (!tensor.defined()) return;
    here |= !tensor.is_cpu();
    processor |= tensor.is_cpu() && tensor.dim() > 0;
  };
  for (const auto& argument : torch::jit::last(stack, operation.schema().arguments().size())) {
    if (argument.isTensor()) look(argument.toTensor());
    if (!argument.isList()) continue;
    for (const c10::IValue& element : argument.toListRef()) {
      if (element.isTensor()) look(element.toTensor());
    }
  }
  const auto& name = operation.schema().name();
  TORCH_CHECK(!(here && processor) || indexing.count(name), "Expected all tensors of ", name, " to be on the same device");
}

void on_the_processor(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  refuse_mixture(operation, *stack);
  at::native::cpu_fallback(operation, stack);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) { library.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_processor>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
  library.impl("resize_", &resize_);
  library.impl("_local_scalar_dense", &scalar);
  library.impl("_fused_sdp_choice", &plain_attention);
  library.impl("as_strided", &at::native::as_strided_tensorimpl);
  library.impl("view", &at::native::view);
  library.impl("_reshape_alias", &at::native::_reshape_alias);
}

}  // namespace
