// A recorded step: CUDA's graphs, by way of libtorch's, which keeps the recording's memory apart.
#include "gpu.h"

#ifdef SYNSHARD_CUDA
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#endif

#include <cstdlib>
#include <shared_mutex>

namespace synshard {
namespace gpu {

namespace {
std::shared_mutex recording;
} // namespace

void Graph::between_recordings(const std::function<void()> &f) {
	std::shared_lock<std::shared_mutex> lock(recording);
	f();
}

#ifdef SYNSHARD_CUDA
namespace {

// Recording is libtorch's, which does not clean up after a capture that failed: the memory set apart for it would stay
// apart until the process ends, and the allocator would go on asking a graph that is gone.
struct Recording : at::cuda::CUDAGraph {
	void abandon() noexcept {
		if (capture_ended_ || capture_dev_ == UNDEFINED_DEVICE)
			return; // its destructor cleans up, or there is nothing to
		cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
		if (cudaStreamIsCapturing(capture_stream_, &status) == cudaSuccess &&
			status != cudaStreamCaptureStatusNone) {
			cudaGraph_t broken = nullptr;
			cudaStreamEndCapture(capture_stream_, &broken);
			if (broken)
				cudaGraphDestroy(broken);
		}
		cudaGetLastError(); // the failed capture's, which the next check would find
		using namespace c10::cuda::CUDACachingAllocator; // each only as far as the capture came
		quietly([&] { endAllocateToPool(capture_dev_, mempool_id_); });
		quietly([&] { releasePool(capture_dev_, mempool_id_); });
		quietly([&] { release_host(*at::getHostAllocator(at::kCUDA), mempool_id_, 0); });
	}

private:
	// Host memory is set apart as well in the PyTorch that has these functions.
	template <class A>
	static auto release_host(A &a, c10::MempoolId_t pool, int) -> decltype(a.release_pool(pool)) {
		quietly([&] { a.end_allocate_to_pool(pool); });
		quietly([&] { a.release_pool(pool); });
	}
	template <class A> static void release_host(A &, c10::MempoolId_t, long) {}
};

} // namespace

struct Graph::State {
	Recording graph;
};

bool Graph::possible(const at::Device &device) {
	return device.is_cuda();
}

void Graph::record(const std::function<void()> &f) {
	std::unique_lock<std::shared_mutex> lock(recording);
	try {
		// Other threads go on with what a recording forbids; only what this stream is given counts.
		state->graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
		f();
		state->graph.capture_end();
	} catch (...) {
		state->graph.abandon();
		throw;
	}
}

void Graph::replay() {
	state->graph.replay();
}
#elif defined(SYNSHARD_EMULATED)
// For tests: as CUDA's, a recording runs nothing, and a replay does what was recorded, whatever the host holds by then.
// SYNSHARD_EMULATED_CAPTURE in the environment is what every recording fails with.
struct Graph::State {
	std::function<void()> recorded;
};

bool Graph::possible(const at::Device &) {
	return true;
}
void Graph::record(const std::function<void()> &f) {
	if (const char *why = getenv("SYNSHARD_EMULATED_CAPTURE"))
		throw std::runtime_error(why);
	state->recorded = f;
}
void Graph::replay() {
	state->recorded();
}
#else
struct Graph::State {};

bool Graph::possible(const at::Device &) {
	return false;
}
void Graph::record(const std::function<void()> &) {
	throw no_device("this engine was built without CUDA's headers");
}
void Graph::replay() {
	throw no_device("this engine was built without CUDA's headers");
}
#endif

Graph::Graph() : state(std::make_unique<State>()) {
}
Graph::~Graph() = default;

} // namespace gpu
} // namespace synshard
