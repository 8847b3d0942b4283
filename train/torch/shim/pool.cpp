// Max and average pools of images with the channels innermost, in training: on the processor, and by kernels.cu's
// kernels on a GPU; libtorch's are what tests hold both to. A maximum's place in its window is kept in a byte where
// libtorch keeps eight. Backward, a pixel gathers from the windows that look at it: nothing is added up by several
// threads at once, so the same steps give the same bits. Inputs and outputs may be some channels of wider tensors.
#include "context.h"
#include "gpu.h"
#include "rows.h"

#include <torch/csrc/autograd/custom_function.h>

#include <limits>

namespace synshard {

namespace {

using gpu::Span;
using gpu::Window;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// One row of pixels at a time; best, place and sum have room for its channels.

template <class T>
INLINE void max_row(const T *x, int64_t ld_x, const Window &w, int y, int64_t c, T *to, int64_t ld_to, uint8_t *at,
	float *__restrict best, int *__restrict place) {
	Span rows = pixels_of(w, 0, y);
	for (int column = 0; column < w.out[1]; column++, to += ld_to, at += c) {
		Span columns = pixels_of(w, 1, column);
		for (int64_t i = 0; i < c; i++) {
			best[i] = -std::numeric_limits<float>::infinity();
			place[i] = place_in(w, y, column, rows.from, columns.from);
		}
		for (int h = rows.from; h < rows.to; h++)
			for (int l = columns.from; l < columns.to; l++) {
				const T *from = x + (int64_t(h) * w.in[1] + l) * ld_x;
				int here = place_in(w, y, column, h, l);
				for (int64_t i = 0; i < c; i++) {
					float v = get(from[i]);
					bool more = v > best[i] || v != v;
					best[i] = more ? v : best[i];
					place[i] = more ? here : place[i];
				}
			}
		for (int64_t i = 0; i < c; i++)
			put(to[i], best[i]);
		for (int64_t i = 0; i < c; i++)
			at[i] = static_cast<uint8_t>(place[i]);
	}
}

template <class T>
INLINE void max_back_row(const T *dy, int64_t ld_dy, const uint8_t *at, const Window &w, int y, int64_t c, T *to,
	int64_t ld_to, float *__restrict sum) {
	Span rows = windows_of(w, 0, y);
	for (int column = 0; column < w.in[1]; column++, to += ld_to) {
		Span columns = windows_of(w, 1, column);
		std::fill_n(sum, c, 0.0f);
		for (int h = rows.from; h < rows.to; h++)
			for (int l = columns.from; l < columns.to; l++) {
				int64_t pixel = int64_t(h) * w.out[1] + l;
				const T *g = dy + pixel * ld_dy;
				const uint8_t *from = at + pixel * c;
				int here = place_in(w, h, l, y, column);
				for (int64_t i = 0; i < c; i++)
					sum[i] += from[i] == here ? get(g[i]) : 0;
			}
		for (int64_t i = 0; i < c; i++)
			put(to[i], sum[i]);
	}
}

template <class T>
INLINE void avg_row(const T *x, int64_t ld_x, const Window &w, int y, int64_t c, T *to, int64_t ld_to,
	float *__restrict sum, const float *__restrict shift, float least) {
	Span rows = pixels_of(w, 0, y);
	for (int column = 0; column < w.out[1]; column++, to += ld_to) {
		Span columns = pixels_of(w, 1, column);
		float share = share_in(w, y, column);
		std::fill_n(sum, c, 0.0f);
		for (int h = rows.from; h < rows.to; h++)
			for (int l = columns.from; l < columns.to; l++) {
				const T *from = x + (int64_t(h) * w.in[1] + l) * ld_x;
				for (int64_t i = 0; i < c; i++)
					sum[i] += get(from[i]);
			}
		for (int64_t i = 0; i < c; i++) {
			float v = sum[i] * share + shift[i];
			put(to[i], v < least ? least : v);
		}
	}
}

template <class T>
INLINE void avg_back_row(
	const T *dy, int64_t ld_dy, const Window &w, int y, int64_t c, T *to, int64_t ld_to, float *__restrict sum) {
	Span rows = windows_of(w, 0, y);
	for (int column = 0; column < w.in[1]; column++, to += ld_to) {
		Span columns = windows_of(w, 1, column);
		std::fill_n(sum, c, 0.0f);
		for (int h = rows.from; h < rows.to; h++)
			for (int l = columns.from; l < columns.to; l++) {
				const T *g = dy + (int64_t(h) * w.out[1] + l) * ld_dy;
				float share = share_in(w, h, l);
				for (int64_t i = 0; i < c; i++)
					sum[i] += get(g[i]) * share;
			}
		for (int64_t i = 0; i < c; i++)
			put(to[i], sum[i]);
	}
}

#define ROWS(T) \
	WIDE void max_row_(const T *x, int64_t ld_x, const Window &w, int y, int64_t c, T *to, int64_t ld_to, \
		uint8_t *at, float *best, int *place) { \
		max_row(x, ld_x, w, y, c, to, ld_to, at, best, place); \
	} \
	WIDE void max_back_row_(const T *dy, int64_t ld_dy, const uint8_t *at, const Window &w, int y, int64_t c, \
		T *to, int64_t ld_to, float *sum) { \
		max_back_row(dy, ld_dy, at, w, y, c, to, ld_to, sum); \
	} \
	WIDE void avg_row_(const T *x, int64_t ld_x, const Window &w, int y, int64_t c, T *to, int64_t ld_to, \
		float *sum, const float *shift, float least) { \
		avg_row(x, ld_x, w, y, c, to, ld_to, sum, shift, least); \
	} \
	WIDE void avg_back_row_( \
		const T *dy, int64_t ld_dy, const Window &w, int y, int64_t c, T *to, int64_t ld_to, float *sum) { \
		avg_back_row(dy, ld_dy, w, y, c, to, ld_to, sum); \
	}
ROWS(float)
ROWS(bf16)

struct Sizes { // of a pool's tensors
	int64_t images, channels, in_pixels, out_pixels;
	Sizes(const at::Tensor &like, const Window &w)
	    : images(like.size(0)), channels(like.size(1)), in_pixels(int64_t(w.in[0]) * w.in[1]),
	      out_pixels(int64_t(w.out[0]) * w.out[1]) {}
};

// each_row calls f(image, row) for all rows of all images, on all threads.
template <class F> void each_row(int64_t images, int rows, F f) {
	at::parallel_for(0, images * rows, 1, [&](int64_t begin, int64_t end) {
		for (int64_t i = begin; i < end; i++)
			f(i / rows, static_cast<int>(i % rows));
	});
}

// at is undefined for an average.
template <class T>
void forward_cpu(const at::Tensor &x, const Window &w, const Pool &pool, const at::Tensor &y, const at::Tensor &at) {
	Sizes n(x, w);
	int64_t ld_x = row_stride(x), ld_y = row_stride(y);
	const T *in = static_cast<const T *>(x.const_data_ptr());
	T *out = static_cast<T *>(y.mutable_data_ptr());
	uint8_t *places = at.defined() ? at.mutable_data_ptr<uint8_t>() : nullptr;
	const std::vector<float> none(pool.shift.defined() ? 0 : n.channels, 0.0f);
	const float *shift = pool.shift.defined() ? pool.shift.const_data_ptr<float>() : none.data();
	each_row(n.images, w.out[0], [&](int64_t image, int row) {
		static thread_local std::vector<float> room;
		static thread_local std::vector<int> place;
		room.resize(n.channels);
		place.resize(n.channels);
		int64_t pixel = image * n.out_pixels + int64_t(row) * w.out[1];
		const T *from = in + image * n.in_pixels * ld_x;
		if (places)
			max_row_(from, ld_x, w, row, n.channels, out + pixel * ld_y, ld_y, places + pixel * n.channels,
				room.data(), place.data());
		else
			avg_row_(from, ld_x, w, row, n.channels, out + pixel * ld_y, ld_y, room.data(), shift,
				pool.least);
	});
}

template <class T>
void backward_cpu(const at::Tensor &dy, const Window &w, const at::Tensor &at, const at::Tensor &dx) {
	Sizes n(dy, w);
	int64_t ld_dy = row_stride(dy), ld_dx = row_stride(dx);
	const T *g = static_cast<const T *>(dy.const_data_ptr());
	T *out = static_cast<T *>(dx.mutable_data_ptr());
	const uint8_t *places = at.defined() ? at.const_data_ptr<uint8_t>() : nullptr;
	each_row(n.images, w.in[0], [&](int64_t image, int row) {
		static thread_local std::vector<float> room;
		room.resize(n.channels);
		int64_t pixel = image * n.in_pixels + int64_t(row) * w.in[1];
		const T *from = g + image * n.out_pixels * ld_dy;
		if (places)
			max_back_row_(from, ld_dy, places + image * n.out_pixels * n.channels, w, row, n.channels,
				out + pixel * ld_dx, ld_dx, room.data());
		else
			avg_back_row_(from, ld_dy, w, row, n.channels, out + pixel * ld_dx, ld_dx, room.data());
	});
}

// Launch is how a pass over all pixels of one side is cut into blocks.
struct Launch {
	const gpu::Kernels &k;
	bool three; // the kernel is the one made for windows of three by three
	int groups, width;
	std::string kernel;
	unsigned count = 0; // of threads' works
	gpu::Extent grid, block{gpu::block_threads, 1};

	Launch(const gpu::Kernels &k, const char *stem, const at::Tensor &to, const at::Tensor &from, bool of_three)
	    : k(k) {
		int64_t channels = to.size(1);
		width = static_cast<int>(16 / to.element_size());
		bool wide = even(to) && even(from) && channels % width == 0;
		three = wide && of_three;
		if (!wide)
			width = 1;
		groups = static_cast<int>(channels / width);
		kernel = stem + std::string(gpu::type_name(to)) + (three ? "_wide_3" : wide ? "_wide" : "");
		over(to.numel() / channels);
	}
	// over says how many times the channels are worked on.
	void over(int64_t places) {
		count = static_cast<unsigned>(places * groups);
		int64_t useful = (int64_t(count) + gpu::block_threads - 1) / gpu::block_threads,
			room = int64_t(8) * k.multiprocessors * k.resident(kernel, gpu::block_threads);
		grid.x = static_cast<unsigned>(std::min(useful, room));
	}
	long long pixels(int64_t ld) const { return ld / width; }
};

bool both(const int (&axes)[2], int n) {
	return axes[0] == n && axes[1] == n;
}

void forward_gpu(const gpu::Kernels &k, const at::Tensor &x, const Window &w, const Pool &pool, const at::Tensor &y,
	const at::Tensor &at) {
	Launch l(k, at.defined() ? "max_pool_" : "avg_pool_", y, x, both(w.kernel, 3));
	if (at.defined())
		k.launch(l.kernel, l.grid, l.block, x.const_data_ptr(), l.pixels(row_stride(x)), w, l.count, l.groups,
			y.mutable_data_ptr(), l.pixels(row_stride(y)), at.mutable_data_ptr<unsigned char>());
	else
		k.launch(l.kernel, l.grid, l.block, x.const_data_ptr(), l.pixels(row_stride(x)), w, l.count, l.groups,
			y.mutable_data_ptr(), l.pixels(row_stride(y)),
			pool.shift.defined() ? pool.shift.const_data_ptr<float>() : nullptr, pool.least);
}

void backward_gpu(
	const gpu::Kernels &k, const at::Tensor &dy, const Window &w, const at::Tensor &at, const at::Tensor &dx) {
	if (at.defined()) {
		Launch l(k, "max_pool_back_", dx, dy, both(w.kernel, 3) && both(w.stride, 2));
		if (l.three)
			l.over(dx.size(0) * pairs(w, 0) * pairs(w, 1));
		k.launch(l.kernel, l.grid, l.block, dy.const_data_ptr(), l.pixels(row_stride(dy)),
			at.const_data_ptr<unsigned char>(), w, l.count, l.groups, dx.mutable_data_ptr(),
			l.pixels(row_stride(dx)));
		return;
	}
	Launch l(k, "avg_pool_back_", dx, dy, both(w.kernel, 3) && both(w.stride, 1));
	k.launch(l.kernel, l.grid, l.block, dy.const_data_ptr(), l.pixels(row_stride(dy)), w, l.count, l.groups,
		dx.mutable_data_ptr(), l.pixels(row_stride(dx)));
}

struct Pooled : torch::autograd::Function<Pooled> {
	static at::Tensor forward(
		AutogradContext *ctx, const at::Tensor &x, const Window &w, const Pool &pool, const Config *config) {
		at::Tensor y = pool.output.sized(x, w.out[0], w.out[1]), at;
		if (pool.maximum)
			at = at::empty({x.size(0), w.out[0], w.out[1], x.size(1)},
				x.options().dtype(at::kByte).memory_format(at::MemoryFormat::Contiguous));
		if (config->kernels)
			forward_gpu(*config->kernels, x, w, pool, y, at);
		else if (x.scalar_type() == at::kFloat)
			forward_cpu<float>(x, w, pool, y, at);
		else
			forward_cpu<bf16>(x, w, pool, y, at);
		ctx->save_for_backward({at});
		ctx->saved_data["window"] = keep(w);
		ctx->saved_data["gradient"] = keep(pool.gradient);
		ctx->saved_data["config"] = keep(config); // the engine's, which outlives the pass
		return y;
	}
	static variable_list backward(AutogradContext *ctx, const variable_list &grads) {
		Window w = kept<Window>(ctx->saved_data["window"]);
		const Config *config = kept<const Config *>(ctx->saved_data["config"]);
		at::Tensor at = ctx->get_saved_variables()[0];
		at::Tensor dy = row_stride(grads[0]) ? grads[0] : grads[0].contiguous(at::MemoryFormat::ChannelsLast);
		at::Tensor dx = kept<Place>(ctx->saved_data["gradient"]).sized(dy, w.in[0], w.in[1]);
		if (config->kernels)
			backward_gpu(*config->kernels, dy, w, at, dx);
		else if (dy.scalar_type() == at::kFloat)
			backward_cpu<float>(dy, w, at, dx);
		else
			backward_cpu<bf16>(dy, w, at, dx);
		return {dx, {}, {}, {}};
	}
};

// windows gives the output's size on one axis: libtorch's rule.
int windows(int size, int kernel, int stride, int pad, bool ceil_mode) {
	int n = (size + 2 * pad - kernel + (ceil_mode ? stride - 1 : 0)) / stride + 1;
	return ceil_mode && (n - 1) * stride >= size + pad ? n - 1 : n; // none begins beyond the image and its padding
}

} // namespace

at::Tensor pool(const at::Tensor &x, const Pool &p, const Config &config) {
	Window w{};
	w.padding_counts = p.node.count_include_pad;
	for (int i = 0; i < 2; i++) {
		w.kernel[i] = static_cast<int>(p.node.kernel[i]);
		w.stride[i] = static_cast<int>(p.node.stride[i]);
		w.pad[i] = static_cast<int>(p.node.pad[i]);
		w.in[i] = static_cast<int>(x.size(i + 2));
		w.out[i] = windows(w.in[i], w.kernel[i], w.stride[i], w.pad[i], p.node.ceil_mode);
	}
	bool small = w.kernel[0] * w.kernel[1] <= 256 && x.numel() <= std::numeric_limits<int>::max() && w.out[0] > 0 &&
		w.out[1] > 0;                                                      // a byte, 32 bits
	bool allowed = 2 * w.pad[0] <= w.kernel[0] && 2 * w.pad[1] <= w.kernel[1]; // libtorch says what is not
	if ((p.training || p.shift.defined()) && small && allowed && fuses(x, config))
		return Pooled::apply(x, w, p, &config);
	if (p.maximum)
		return at::max_pool2d(x, p.node.kernel, p.node.stride, p.node.pad, 1, p.node.ceil_mode);
	// On CUDA libtorch 2.11 takes gradients of padded averages from the wrong windows where channels lie innermost
	// (pytorch/pytorch issue 188344).
	bool wrong = x.is_cuda() && p.training && (p.node.pad[0] > 0 || p.node.pad[1] > 0);
	at::Tensor y = at::avg_pool2d(wrong ? x.contiguous() : x, p.node.kernel, p.node.stride, p.node.pad,
		p.node.ceil_mode, p.node.count_include_pad);
	if (wrong)
		y = y.contiguous(x.suggest_memory_format());
	if (p.shift.defined())
		y.add_(p.shift.view({1, -1, 1, 1})).clamp_min_(p.least);
	return y;
}

} // namespace synshard
