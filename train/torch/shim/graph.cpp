// A recorded step: CUDA's graphs, by way of libtorch's, which keeps the recording's memory apart.
#include "gpu.h"

#ifdef SYNSHARD_CUDA
#include <ATen/cuda/CUDAGraph.h>
#endif

namespace synshard {
namespace gpu {

#ifdef SYNSHARD_CUDA
struct Graph::State {
	at::cuda::CUDAGraph graph;
};

bool Graph::possible(const at::Device &device) {
	return device.is_cuda();
}

void Graph::record(const std::function<void()> &f) {
	// Other threads go on with what a recording forbids; only what this stream is given counts.
	state->graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
	try {
		f();
	} catch (...) {
		try {
			state->graph.capture_end();
		} catch (...) { // the first error is the one that says what went wrong
		}
		throw;
	}
	state->graph.capture_end();
}

void Graph::replay() {
	state->graph.replay();
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
