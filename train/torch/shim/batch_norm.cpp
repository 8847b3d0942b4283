// Batch norm and the ReLU behind it, three ways that compute the same: libtorch's operations, which the other two are
// held to by tests; one pass over memory on the processor; and kernels.cu's kernels on a GPU. The latter two are for
// images with the channels innermost. Apart, batch norm and ReLU pass over the activations five times forward and five
// times back; together two and two, and the ReLU's output need not be kept.
//
// Forward, per channel, over all pixels of the batch: mean and variance by sums of x - x[0] (near the mean, against
// cancellation), then y = max(a x + b, 0) with a = weight / deviation, b = bias - mean a. Kept for the backward pass is
// [4, channels]: mean, 1 / deviation, a, b. Backward, with g = dy where a x + b > 0, else 0:
//
//	dbias = sum g, dweight = sum g (x - mean) / deviation
//	dx = a g + k x + d, k = -a dweight / (deviation rows), d = -a dbias / rows - k mean
#include "context.h"
#include "gpu.h"
#include "rows.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

namespace synshard {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rows summed in float before their sum is added up in double.
constexpr int64_t run_length = 64;

// moments adds up x - shift and its square over rows, per channel. Here and below a tensor's pixels are ld_ elements
// apart: it may be some of the channels of a wider one.
template <class T>
INLINE void moments(const T *x, int64_t ld_x, const float *shift, int64_t rows, int64_t c, float *__restrict s,
	float *__restrict q) {
	for (int64_t r = 0; r < rows; r++, x += ld_x)
		for (int64_t i = 0; i < c; i++) {
			float v = get(x[i]) - shift[i];
			s[i] += v;
			q[i] += v * v;
		}
}
template <class T>
INLINE void apply(const T *x, int64_t ld_x, const float *a, const float *b, int64_t rows, int64_t c, T *__restrict y,
	int64_t ld_y) {
	for (int64_t r = 0; r < rows; r++, x += ld_x, y += ld_y)
		for (int64_t i = 0; i < c; i++) {
			float v = get(x[i]) * a[i] + b[i];
			put(y[i], v < 0 ? 0 : v);
		}
}
// back_sums adds up g and g (x - mean), where g is dy let through by the ReLU.
template <class T>
INLINE void back_sums(const T *x, int64_t ld_x, const T *dy, int64_t ld_dy, const float *a, const float *b,
	const float *mean, int64_t rows, int64_t c, float *__restrict s, float *__restrict q) {
	for (int64_t r = 0; r < rows; r++, x += ld_x, dy += ld_dy)
		for (int64_t i = 0; i < c; i++) {
			float v = get(x[i]), g = v * a[i] + b[i] > 0 ? get(dy[i]) : 0;
			s[i] += g;
			q[i] += g * (v - mean[i]);
		}
}
template <class T>
INLINE void back_apply(const T *x, int64_t ld_x, const T *dy, int64_t ld_dy, const float *a, const float *b,
	const float *k, const float *d, int64_t rows, int64_t c, T *__restrict dx, int64_t ld_dx) {
	for (int64_t r = 0; r < rows; r++, x += ld_x, dy += ld_dy, dx += ld_dx)
		for (int64_t i = 0; i < c; i++) {
			float v = get(x[i]), g = v * a[i] + b[i] > 0 ? get(dy[i]) : 0;
			put(dx[i], a[i] * g + k[i] * v + d[i]);
		}
}

// The same for each type, compiled for each generation of processors.
#define KERNELS(T) \
	WIDE void moments_(const T *x, int64_t ld_x, const float *m, int64_t n, int64_t c, float *s, float *q) { \
		moments(x, ld_x, m, n, c, s, q); \
	} \
	WIDE void apply_( \
		const T *x, int64_t ld_x, const float *a, const float *b, int64_t n, int64_t c, T *y, int64_t ld_y) { \
		apply(x, ld_x, a, b, n, c, y, ld_y); \
	} \
	WIDE void back_sums_(const T *x, int64_t ld_x, const T *g, int64_t ld_g, const float *a, const float *b, \
		const float *m, int64_t n, int64_t c, float *s, float *q) { \
		back_sums(x, ld_x, g, ld_g, a, b, m, n, c, s, q); \
	} \
	WIDE void back_apply_(const T *x, int64_t ld_x, const T *g, int64_t ld_g, const float *a, const float *b, \
		const float *k, const float *d, int64_t n, int64_t c, T *o, int64_t ld_o) { \
		back_apply(x, ld_x, g, ld_g, a, b, k, d, n, c, o, ld_o); \
	}
KERNELS(float)
KERNELS(bf16)

// ranges runs f(part, from, to) over rows in as many parts as there are threads; the cut depends on nothing else.
template <class F> void ranges(int64_t rows, int parts, F f) {
	at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
		for (int64_t p = begin; p < end; p++)
			f(p, rows * p / parts, rows * (p + 1) / parts);
	});
}

// sums gives two sums per channel over all rows, of add(from, n, s, q).
template <class F>
void sums(int64_t rows, int64_t c, int parts, std::vector<double> &s, std::vector<double> &q, F add) {
	std::vector<double> all(2 * c * parts, 0.0);
	ranges(rows, parts, [&](int64_t part, int64_t from, int64_t to) {
		std::vector<float> f(2 * c);
		double *to_s = &all[2 * c * part];
		for (int64_t r = from; r < to; r += run_length) {
			std::fill(f.begin(), f.end(), 0.0f);
			add(r, std::min(run_length, to - r), f.data(), f.data() + c);
			for (int64_t i = 0; i < 2 * c; i++)
				to_s[i] += f[i];
		}
	});
	s.assign(c, 0);
	q.assign(c, 0);
	for (int p = 0; p < parts; p++)
		for (int64_t i = 0; i < c; i++) {
			s[i] += all[2 * c * p + i];
			q[i] += all[2 * c * p + c + i];
		}
}

// Plan is how a pass over [rows, channels] is cut into blocks.
struct Plan {
	long long rows;
	int groups, width; // of so many channels
	std::string kernel;
	gpu::Extent grid, block;

	// kernel is stem with x's type, and _wide where 16 bytes may be taken at a time (wide) and the channels allow
	// it. As many blocks as are resident at once, waves times over, but a thread has rows_each rows to do.
	Plan(const gpu::Kernels &k, const char *stem, const at::Tensor &x, bool wide, int64_t waves,
		int64_t rows_each) {
		int64_t channels = x.size(1);
		width = static_cast<int>(16 / x.element_size());
		wide = wide && channels % width == 0;
		if (!wide)
			width = 1;
		rows = x.numel() / channels;
		groups = static_cast<int>(channels / width);
		kernel = stem + std::string(gpu::type_name(x)) + (wide ? "_wide" : "");
		grid.x = (groups + 31) / 32;
		block.x = (groups + grid.x - 1) / grid.x; // alike: 40 groups are twice 20, not 32 and 8
		block.y = gpu::block_threads / block.x;
		int64_t useful = rows / (int64_t(block.y) * rows_each),
			room = waves * k.multiprocessors * k.resident(kernel, block.x * block.y) / grid.x;
		grid.y = static_cast<unsigned>(std::max<int64_t>(1, std::min<int64_t>({useful, room, 65535})));
	}
	// pixels gives a distance of pixels in groups.
	long long pixels(int64_t ld) const { return ld / width; }
};

// Passes that add up leave a sum a block, which another kernel must read: one wave, and work enough for each. Those
// that only stream are cut finer, so that no multiprocessor waits for the last block.
constexpr int64_t sum_waves = 1, sum_rows = 16, stream_waves = 4, stream_rows = 4;

at::Tensor scratch(const at::Tensor &x, at::IntArrayRef shape) {
	return at::empty(shape, x.options().dtype(at::kFloat).memory_format(at::MemoryFormat::Contiguous));
}

gpu::Extent finish_grid(int64_t channels) {
	return {static_cast<unsigned>((channels + gpu::finish_channels - 1) / gpu::finish_channels), 1};
}
constexpr gpu::Extent finish_block{gpu::finish_channels, gpu::finish_threads};

template <class T> const T *data(const at::Tensor &t) {
	return static_cast<const T *>(t.const_data_ptr());
}

// kept is filled with mean, 1 / deviation, a and b.
template <class T>
void forward_cpu(const at::Tensor &x, const at::Tensor &w, const at::Tensor &bias, const at::Tensor &running_mean,
	const at::Tensor &running_var, double momentum, double eps, int parts, const at::Tensor &kept,
	const at::Tensor &y) {
	int64_t c = x.size(1), rows = x.numel() / c, ld_x = row_stride(x), ld_y = row_stride(y);
	const T *in = data<T>(x);
	std::vector<float> shift(c);
	for (int64_t i = 0; i < c; i++)
		shift[i] = get(in[i]); // near the mean, against cancellation
	std::vector<double> s, q;
	sums(rows, c, parts, s, q, [&](int64_t r, int64_t n, float *fs, float *fq) {
		moments_(in + r * ld_x, ld_x, shift.data(), n, c, fs, fq);
	});
	float *k = kept.mutable_data_ptr<float>(); // mean, 1/deviation, a, b
	float *rm = running_mean.mutable_data_ptr<float>(), *rv = running_var.mutable_data_ptr<float>();
	const float *pw = w.const_data_ptr<float>(), *pb = bias.const_data_ptr<float>();
	for (int64_t i = 0; i < c; i++) {
		double d = s[i] / rows, mean = shift[i] + d, var = q[i] / rows - d * d;
		var = var < 0 ? 0 : var;
		double inverse = 1 / std::sqrt(var + eps);
		k[i] = mean;
		k[c + i] = inverse;
		k[2 * c + i] = pw[i] * inverse;
		k[3 * c + i] = pb[i] - mean * pw[i] * inverse;
		rm[i] = (1 - momentum) * rm[i] + momentum * mean;
		rv[i] = (1 - momentum) * rv[i] + momentum * var * rows / std::max<int64_t>(rows - 1, 1);
	}
	T *out = static_cast<T *>(y.mutable_data_ptr());
	ranges(rows, parts, [&](int64_t, int64_t from, int64_t to) {
		apply_(in + from * ld_x, ld_x, k + 2 * c, k + 3 * c, to - from, c, out + from * ld_y, ld_y);
	});
}

// The same in kernels.cu's bn_sums, bn_finish and bn_apply.
void forward_gpu(const gpu::Kernels &k, const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias,
	const at::Tensor &running_mean, const at::Tensor &running_var, double momentum, double eps,
	const at::Tensor &kept, const at::Tensor &y) {
	Plan sums(k, "bn_sums_", x, even(x), sum_waves, sum_rows);
	int channels = static_cast<int>(x.size(1));
	at::Tensor partial = scratch(x, {sums.grid.y, 2, channels});
	const void *in = x.const_data_ptr();
	k.launch(sums.kernel, sums.grid, sums.block, in, sums.pixels(row_stride(x)), sums.rows, sums.groups,
		partial.mutable_data_ptr<float>());
	k.launch(std::string("bn_finish_") + gpu::type_name(x), finish_grid(channels), finish_block, in,
		partial.const_data_ptr<float>(), static_cast<int>(sums.grid.y), channels,
		static_cast<double>(sums.rows), weight.const_data_ptr<float>(), bias.const_data_ptr<float>(),
		running_mean.mutable_data_ptr<float>(), running_var.mutable_data_ptr<float>(), momentum, eps,
		kept.mutable_data_ptr<float>());
	Plan stream(k, "bn_apply_", x, even(x) && even(y), stream_waves, stream_rows);
	k.launch(stream.kernel, stream.grid, stream.block, in, stream.pixels(row_stride(x)),
		kept.const_data_ptr<float>(), stream.rows, stream.groups, y.mutable_data_ptr(),
		stream.pixels(row_stride(y)));
}

template <class T>
variable_list backward_cpu(
	const at::Tensor &x, const at::Tensor &dy, const at::Tensor &kept, int parts, const at::Tensor &dx) {
	int64_t c = x.size(1), rows = x.numel() / c, ld_x = row_stride(x), ld_dy = row_stride(dy),
		ld_dx = row_stride(dx);
	const T *in = data<T>(x), *g = data<T>(dy);
	const float *k = kept.const_data_ptr<float>(), *mean = k, *inverse = k + c, *a = k + 2 * c, *b = k + 3 * c;
	std::vector<double> s, q;
	sums(rows, c, parts, s, q, [&](int64_t r, int64_t n, float *fs, float *fq) {
		back_sums_(in + r * ld_x, ld_x, g + r * ld_dy, ld_dy, a, b, mean, n, c, fs, fq);
	});
	at::Tensor dw = at::empty({c}, at::kFloat), db = at::empty({c}, at::kFloat);
	std::vector<float> slope(c), offset(c);
	float *pw = dw.mutable_data_ptr<float>(), *pb = db.mutable_data_ptr<float>();
	for (int64_t i = 0; i < c; i++) {
		double w = q[i] * inverse[i];
		pw[i] = w;
		pb[i] = s[i];
		slope[i] = -a[i] * inverse[i] * w / rows;
		offset[i] = -a[i] * s[i] / rows - double(slope[i]) * mean[i];
	}
	T *out = static_cast<T *>(dx.mutable_data_ptr());
	ranges(rows, parts, [&](int64_t, int64_t from, int64_t to) {
		back_apply_(in + from * ld_x, ld_x, g + from * ld_dy, ld_dy, a, b, slope.data(), offset.data(),
			to - from, c, out + from * ld_dx, ld_dx);
	});
	return {dx, dw, db};
}

// The same in kernels.cu's bn_back_sums, bn_back_finish and bn_back_apply.
variable_list backward_gpu(const gpu::Kernels &k, const at::Tensor &x, const at::Tensor &dy, const at::Tensor &kept,
	const at::Tensor &dx) {
	int channels = static_cast<int>(x.size(1));
	bool wide = even(x) && even(dy);
	Plan sums(k, "bn_back_sums_", x, wide, sum_waves, sum_rows);
	at::Tensor partial = scratch(x, {sums.grid.y, 2, channels}), line = scratch(x, {2, channels});
	at::Tensor dw = scratch(x, {channels}), db = scratch(x, {channels});
	const void *in = x.const_data_ptr(), *g = dy.const_data_ptr();
	const float *k4 = kept.const_data_ptr<float>();
	k.launch(sums.kernel, sums.grid, sums.block, in, sums.pixels(row_stride(x)), g, sums.pixels(row_stride(dy)), k4,
		sums.rows, sums.groups, partial.mutable_data_ptr<float>());
	k.launch("bn_back_finish_any", finish_grid(channels), finish_block, partial.const_data_ptr<float>(),
		static_cast<int>(sums.grid.y), channels, static_cast<double>(sums.rows), k4,
		dw.mutable_data_ptr<float>(), db.mutable_data_ptr<float>(), line.mutable_data_ptr<float>());
	Plan stream(k, "bn_back_apply_", x, wide && even(dx), stream_waves, stream_rows);
	k.launch(stream.kernel, stream.grid, stream.block, in, stream.pixels(row_stride(x)), g,
		stream.pixels(row_stride(dy)), k4, line.const_data_ptr<float>(), stream.rows, stream.groups,
		dx.mutable_data_ptr(), stream.pixels(row_stride(dx)));
	return {dx, dw, db};
}

struct BatchNormReLU : torch::autograd::Function<BatchNormReLU> {
	static at::Tensor forward(AutogradContext *ctx, const at::Tensor &x, const at::Tensor &w, const at::Tensor &b,
		const at::Tensor &rm, const at::Tensor &rv, double momentum, double eps, const Config *config,
		const Place &output, const Place &gradient) {
		at::Tensor kept = at::empty(
			{4, x.size(1)}, x.options().dtype(at::kFloat).memory_format(at::MemoryFormat::Contiguous));
		at::Tensor y = output.like(x);
		if (config->kernels)
			forward_gpu(*config->kernels, x, w, b, rm, rv, momentum, eps, kept, y);
		else if (x.scalar_type() == at::kFloat)
			forward_cpu<float>(x, w, b, rm, rv, momentum, eps, config->threads, kept, y);
		else
			forward_cpu<bf16>(x, w, b, rm, rv, momentum, eps, config->threads, kept, y);
		ctx->save_for_backward({x, kept});
		ctx->saved_data["config"] = keep(config); // the engine's, which outlives the pass
		ctx->saved_data["gradient"] = keep(gradient);
		return y;
	}
	static variable_list backward(AutogradContext *ctx, const variable_list &dy) {
		auto saved = ctx->get_saved_variables();
		const Config *config = kept<const Config *>(ctx->saved_data["config"]);
		const at::Tensor &x = saved[0];
		at::Tensor g = row_stride(dy[0]) ? dy[0] : dy[0].contiguous(at::MemoryFormat::ChannelsLast);
		at::Tensor dx = kept<Place>(ctx->saved_data["gradient"]).like(x);
		variable_list d;
		if (config->kernels)
			d = backward_gpu(*config->kernels, x, g, saved[1], dx);
		else if (x.scalar_type() == at::kFloat)
			d = backward_cpu<float>(x, g, saved[1], config->threads, dx);
		else
			d = backward_cpu<bf16>(x, g, saved[1], config->threads, dx);
		return {d[0], d[1], d[2], {}, {}, {}, {}, {}, {}, {}};
	}
};

} // namespace

bool fuses(const at::Tensor &x, const Config &config) {
	bool type = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16 ||
		(config.kernels && x.scalar_type() == at::kHalf);
	return config.fused && (config.kernels || x.device().is_cpu()) && type && x.dim() == 4 && x.numel() > 0 &&
		row_stride(x) > 0;
}

at::Tensor batch_norm(const at::Tensor &x, const BatchNorm &n, const Config &config) {
	if (n.relu && n.training && fuses(x, config))
		return BatchNormReLU::apply(x, n.weight, n.bias, n.running_mean, n.running_var, n.momentum, n.eps,
			&config, n.output, n.gradient);
	at::Tensor y =
		at::batch_norm(x, n.weight, n.bias, n.running_mean, n.running_var, n.training, n.momentum, n.eps, true);
	return n.relu ? y.relu_() : y;
}

} // namespace synshard
