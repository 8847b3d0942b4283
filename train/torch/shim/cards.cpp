// What the runtime says of the cards that are there.
#include "engine.h"

#include <c10/core/DeviceGuard.h>

#ifdef SYNSHARD_CUDA
#include <cuda_runtime_api.h>
extern "C" { // of <cuda_profiler_api.h>, which is in no wheel that PyTorch asks for
cudaError_t CUDARTAPI cudaProfilerStart(void);
cudaError_t CUDARTAPI cudaProfilerStop(void);
}
namespace at::cuda {
cudaDeviceProp *getDeviceProperties(c10::DeviceIndex); // of <ATen/cuda/CUDAContextLight.h>, which wants more headers
}
#endif

namespace synshard {

#ifdef SYNSHARD_CUDA
namespace {
void must(cudaError_t code) {
	if (code != cudaSuccess)
		throw std::runtime_error(cudaGetErrorString(code));
}
} // namespace

std::string card_of(int32_t device) {
	std::string id;
	for (unsigned char byte : at::cuda::getDeviceProperties(static_cast<c10::DeviceIndex>(device))->uuid.bytes) {
		id += "0123456789abcdef"[byte >> 4];
		id += "0123456789abcdef"[byte & 15];
	}
	return id;
}

void card_memory(int32_t device, int64_t *free, int64_t *total) {
	c10::DeviceGuard on(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device)));
	size_t left = 0, all = 0;
	must(cudaMemGetInfo(&left, &all));
	*free = static_cast<int64_t>(left);
	*total = static_cast<int64_t>(all);
}

void profile_card(int32_t device, bool on) {
	c10::DeviceGuard guard(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device)));
	must(cudaDeviceSynchronize());
	must(on ? cudaProfilerStart() : cudaProfilerStop());
}
#else
namespace {
[[noreturn]] void no_headers() {
	throw no_device(
		"this engine was built without CUDA's headers; build it again where they are (train/torch/shim/build.sh)");
}
} // namespace

std::string card_of(int32_t) {
	no_headers();
}

void card_memory(int32_t, int64_t *, int64_t *) {
	no_headers();
}

void profile_card(int32_t, bool) {
	no_headers();
}
#endif

} // namespace synshard
