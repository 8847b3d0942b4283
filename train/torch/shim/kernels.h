// What the GPU's kernels and the code that launches them agree on. Compiled by both, and for NVRTC put before
// kernels.cu; so it includes nothing.
#pragma once

namespace synshard {
namespace gpu {

// Threads of a block that adds up; its shared memory is of this size.
constexpr int block_threads = 256;

// Channels whose sums over all blocks a block finishes, and threads for each: many, for they wait on memory one after
// the other.
constexpr int finish_channels = 8, finish_threads = 32;

// Elements of a parameter that a block updates, and tensors whose gradients one launch takes: 3.5 of the 4 KB that
// arguments may have.
constexpr int chunk_elements = 8192;
constexpr int launch_gradients = 448;

// Settings is what the host says anew for every step.
struct Settings {
	double lr, ema_decay, grad_scale;
	unsigned long long seed;
};

// State is what the device keeps from step to step, so that no step waits for the host.
struct State {
	double loss_scale;         // of the next step
	long long good_steps;      // since it last changed
	long long updates;         // made
	double factor;             // gradients times this are those of the loss, clipped
	double correct1, correct2; // AdamW: 1 - beta^updates
	int apply;                 // 0: the norm was not finite, nothing is changed
	int padding;
};

// Result is what a step reports, read by the host when it is done. The losses are first, for one copy.
struct Result {
	double loss, main_loss, aux_loss, cross_entropy, correct;
	double grad_norm, skipped, loss_scale;
	double group[5]; // what the group's whole step found: figures_of's
};

struct Loss { // of fp16's gradients: doubled after interval good steps, halved by an overflow
	int fp16;
	long long interval;
	double largest;
};

// Entry is a tensor of the network. Without gradients (-1) it is only averaged; without averages it stays as it is.
struct Entry {
	float *value, *slot0, *slot1, *ema; // slot1 and ema may be null
	void *low;                          // the value in the network's precision; null: it has none
	long long n;
	int gradient, decayed;
	float rate; // times the learning rate
};

struct Chunk {
	int entry, index; // elements index*chunk_elements and on
};

struct Gradients {
	const float *of[launch_gradients];
};

struct Rule {
	float momentum, rho, eps, beta1, beta2, weight_decay, clip_value; // clip_value 0: none
	int nesterov;
	int half; // what low holds: 1 fp16, 0 bf16
};

// Window is a pool's: height and width of its kernel and so on, of the images in and out.
struct Window {
	int kernel[2], stride[2], pad[2], in[2], out[2];
	int padding_counts; // in an average
};

#ifdef __CUDACC_RTC__
#define EITHER_SIDE __device__ inline
#else
#define EITHER_SIDE inline
#endif

// Span is from and to, the latter left out, on one axis.
struct Span {
	int from, to;
};

// pixels_of gives the pixels that a window looks at.
EITHER_SIDE Span pixels_of(const Window &w, int axis, int window) {
	int from = window * w.stride[axis] - w.pad[axis], to = from + w.kernel[axis];
	return {from < 0 ? 0 : from, to > w.in[axis] ? w.in[axis] : to};
}

// windows_of gives the windows that look at a pixel.
EITHER_SIDE Span windows_of(const Window &w, int axis, int pixel) {
	int first = pixel + w.pad[axis] - w.kernel[axis] + 1, to = (pixel + w.pad[axis]) / w.stride[axis] + 1;
	return {first <= 0 ? 0 : (first + w.stride[axis] - 1) / w.stride[axis], to > w.out[axis] ? w.out[axis] : to};
}

// pairs gives into how many pairs of neighbours an axis falls, from the edge of the padding on: the last may be half.
EITHER_SIDE int pairs(const Window &w, int axis) {
	return (w.pad[axis] + w.in[axis] + 1) / 2;
}

// place_in gives a pixel's place in a window, row by row.
EITHER_SIDE int place_in(const Window &w, int window_y, int window_x, int y, int x) {
	return (y - window_y * w.stride[0] + w.pad[0]) * w.kernel[1] + x - window_x * w.stride[1] + w.pad[1];
}

// share_in gives what a pixel of a window has in its average.
EITHER_SIDE float share_in(const Window &w, int window_y, int window_x) {
	int at[2] = {window_y, window_x}, n = 1;
	for (int axis = 0; axis < 2; axis++) {
		Span looked_at = pixels_of(w, axis, at[axis]);
		int from = at[axis] * w.stride[axis] - w.pad[axis], to = from + w.kernel[axis],
		    end = w.in[axis] + w.pad[axis];
		n *= w.padding_counts ? (to < end ? to : end) - from : looked_at.to - looked_at.from;
	}
	return 1.0f / n;
}

// dropout_at gives the mask's value at a place: 0 with probability p, else 1/(1-p). The bits are splitmix64's.
EITHER_SIDE float dropout_at(unsigned long long seed, int node, long long i, float p) {
	unsigned long long z = seed * 0x9E3779B97F4A7C15ull + static_cast<unsigned long long>(node);
	for (int turn = 0; turn < 2; turn++) {
		z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
		z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
		z ^= z >> 31;
		if (turn == 0)
			z += static_cast<unsigned long long>(i + 1) * 0x9E3779B97F4A7C15ull;
	}
	return static_cast<float>(z >> 40) * 0x1p-24f < p ? 0 : 1 / (1 - p);
}

} // namespace gpu
} // namespace synshard
