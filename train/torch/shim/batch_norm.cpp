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

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
	!defined(__SANITIZE_ADDRESS__) // whose start-up comes after the choice of a clone
#define WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WIDE
#endif
#define INLINE inline __attribute__((always_inline))

namespace synshard {

namespace {

using bf16 = uint16_t;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rows summed in float before their sum is added up in double.
constexpr int64_t run_length = 64;

INLINE float get(float v) {
	return v;
}
INLINE float get(bf16 v) {
	uint32_t u = uint32_t(v) << 16;
	float f;
	std::memcpy(&f, &u, 4);
	return f;
}
INLINE void put(float &to, float v) {
	to = v;
}
INLINE void put(bf16 &to, float v) { // to the nearest, ties to even; NaN stays NaN
	uint32_t u;
	std::memcpy(&u, &v, 4);
	uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
	to = static_cast<bf16>((u & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
}

// moments adds up x - shift and its square over rows, per channel.
template <class T>
INLINE void moments(const T *x, const float *shift, int64_t rows, int64_t c, float *__restrict s, float *__restrict q) {
	for (int64_t r = 0; r < rows; r++, x += c)
		for (int64_t i = 0; i < c; i++) {
			float v = get(x[i]) - shift[i];
			s[i] += v;
			q[i] += v * v;
		}
}
template <class T>
INLINE void apply(const T *x, const float *a, const float *b, int64_t rows, int64_t c, T *__restrict y) {
	for (int64_t r = 0; r < rows; r++, x += c, y += c)
		for (int64_t i = 0; i < c; i++) {
			float v = get(x[i]) * a[i] + b[i];
			put(y[i], v < 0 ? 0 : v);
		}
}
// back_sums adds up g and g (x - mean), where g is dy let through by the ReLU.
template <class T>
INLINE void back_sums(const T *x, const T *dy, int64_t ld, const float *a, const float *b, const float *mean,
	int64_t rows, int64_t c, float *__restrict s, float *__restrict q) {
	for (int64_t r = 0; r < rows; r++, x += c, dy += ld)
		for (int64_t i = 0; i < c; i++) {
			float v = get(x[i]), g = v * a[i] + b[i] > 0 ? get(dy[i]) : 0;
			s[i] += g;
			q[i] += g * (v - mean[i]);
		}
}
template <class T>
INLINE void back_apply(const T *x, const T *dy, int64_t ld, const float *a, const float *b, const float *k,
	const float *d, int64_t rows, int64_t c, T *__restrict dx) {
	for (int64_t r = 0; r < rows; r++, x += c, dy += ld, dx += c)
		for (int64_t i = 0; i < c; i++) {
			float v = get(x[i]), g = v * a[i] + b[i] > 0 ? get(dy[i]) : 0;
			put(dx[i], a[i] * g + k[i] * v + d[i]);
		}
}

// The same for each type, compiled for each generation of processors.
#define KERNELS(T) \
	WIDE void moments_(const T *x, const float *m, int64_t n, int64_t c, float *s, float *q) { \
		moments(x, m, n, c, s, q); \
	} \
	WIDE void apply_(const T *x, const float *a, const float *b, int64_t n, int64_t c, T *y) { \
		apply(x, a, b, n, c, y); \
	} \
	WIDE void back_sums_(const T *x, const T *g, int64_t ld, const float *a, const float *b, const float *m, \
		int64_t n, int64_t c, float *s, float *q) { \
		back_sums(x, g, ld, a, b, m, n, c, s, q); \
	} \
	WIDE void back_apply_(const T *x, const T *g, int64_t ld, const float *a, const float *b, const float *k, \
		const float *d, int64_t n, int64_t c, T *o) { \
		back_apply(x, g, ld, a, b, k, d, n, c, o); \
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

bool aligned(const at::Tensor &t) {
	return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0;
}

// Plan is how a pass over [rows, channels] is cut into blocks.
struct Plan {
	int64_t rows;
	int groups;
	std::string suffix;
	gpu::Extent grid, block;

	// stride is the distance of pixels in elements; wide says whether 16 bytes may be taken at a time.
	Plan(const gpu::Kernels &k, const at::Tensor &x, bool wide, unsigned blocks_each) {
		int64_t channels = x.size(1);
		int width = static_cast<int>(16 / x.element_size());
		wide = wide && channels % width == 0;
		rows = x.numel() / channels;
		groups = static_cast<int>(wide ? channels / width : channels);
		suffix = std::string(gpu::type_name(x)) + (wide ? "_wide" : "");
		block.x = std::min(groups, 32);
		block.y = gpu::block_threads / block.x;
		grid.x = (groups + block.x - 1) / block.x;
		int64_t most = (rows + block.y - 1) / block.y,
			want = std::max<int64_t>(1, int64_t(blocks_each) * k.multiprocessors / grid.x);
		grid.y = static_cast<unsigned>(std::min<int64_t>({most, want, 65535}));
	}
};

// Blocks for each multiprocessor: as many as are resident at once, and for passes that only stream, a few times over.
constexpr unsigned for_sums = 4, for_streams = 16;

at::Tensor scratch(const at::Tensor &x, at::IntArrayRef shape) {
	return at::empty(shape, x.options().dtype(at::kFloat).memory_format(at::MemoryFormat::Contiguous));
}

gpu::Extent columns(int64_t channels) {
	return {static_cast<unsigned>((channels + 31) / 32), 1};
}

template <class T> const T *data(const at::Tensor &t) {
	return static_cast<const T *>(t.const_data_ptr());
}

// kept is filled with mean, 1 / deviation, a and b.
template <class T>
at::Tensor forward_cpu(const at::Tensor &x, const at::Tensor &w, const at::Tensor &bias, const at::Tensor &running_mean,
	const at::Tensor &running_var, double momentum, double eps, int parts, const at::Tensor &kept) {
	int64_t c = x.size(1), rows = x.numel() / c;
	const T *in = data<T>(x);
	std::vector<float> shift(c);
	for (int64_t i = 0; i < c; i++)
		shift[i] = get(in[i]); // near the mean, against cancellation
	std::vector<double> s, q;
	sums(rows, c, parts, s, q,
		[&](int64_t r, int64_t n, float *fs, float *fq) { moments_(in + r * c, shift.data(), n, c, fs, fq); });
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
	at::Tensor y = at::empty_like(x);
	T *out = static_cast<T *>(y.mutable_data_ptr());
	ranges(rows, parts, [&](int64_t, int64_t from, int64_t to) {
		apply_(in + from * c, k + 2 * c, k + 3 * c, to - from, c, out + from * c);
	});
	return y;
}

// The same in kernels.cu's bn_sums, bn_finish and bn_apply.
at::Tensor forward_gpu(const gpu::Kernels &k, const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias,
	const at::Tensor &running_mean, const at::Tensor &running_var, double momentum, double eps,
	const at::Tensor &kept) {
	Plan sums(k, x, aligned(x), for_sums);
	int channels = static_cast<int>(x.size(1));
	at::Tensor partial = scratch(x, {sums.grid.y, 2, channels});
	const void *in = x.const_data_ptr();
	k.launch("bn_sums_" + sums.suffix, sums.grid, sums.block, in, static_cast<long long>(sums.rows), sums.groups,
		partial.mutable_data_ptr<float>());
	k.launch(std::string("bn_finish_") + gpu::type_name(x), columns(channels), {32, 8}, in,
		partial.const_data_ptr<float>(), static_cast<int>(sums.grid.y), channels,
		static_cast<double>(sums.rows), weight.const_data_ptr<float>(), bias.const_data_ptr<float>(),
		running_mean.mutable_data_ptr<float>(), running_var.mutable_data_ptr<float>(), momentum, eps,
		kept.mutable_data_ptr<float>());
	at::Tensor y = at::empty_like(x);
	Plan stream(k, x, aligned(x) && aligned(y), for_streams);
	k.launch("bn_apply_" + stream.suffix, stream.grid, stream.block, in, kept.const_data_ptr<float>(),
		static_cast<long long>(stream.rows), stream.groups, y.mutable_data_ptr());
	return y;
}

// row_stride gives the distance of neighbouring pixels where pixels lie evenly with channels innermost, else 0: a
// gradient that is a slice of a concatenation's is read where it lies.
int64_t row_stride(const at::Tensor &t) {
	int64_t ld = t.size(3) > 1 ? t.stride(3)
		: t.size(2) > 1    ? t.stride(2)
		: t.size(0) > 1    ? t.stride(0)
				   : t.size(1);
	bool even = (t.size(1) == 1 || t.stride(1) == 1) && ld >= t.size(1) &&
		(t.size(2) == 1 || t.stride(2) == ld * t.size(3)) &&
		(t.size(0) == 1 || t.stride(0) == ld * t.size(3) * t.size(2));
	return even ? ld : 0;
}

// ld is the distance of dy's pixels in elements.
template <class T>
variable_list backward_cpu(const at::Tensor &x, const at::Tensor &dy, int64_t ld, const at::Tensor &kept, int parts) {
	int64_t c = x.size(1), rows = x.numel() / c;
	const T *in = data<T>(x), *g = data<T>(dy);
	const float *k = kept.const_data_ptr<float>(), *mean = k, *inverse = k + c, *a = k + 2 * c, *b = k + 3 * c;
	std::vector<double> s, q;
	sums(rows, c, parts, s, q, [&](int64_t r, int64_t n, float *fs, float *fq) {
		back_sums_(in + r * c, g + r * ld, ld, a, b, mean, n, c, fs, fq);
	});
	at::Tensor dw = at::empty({c}, at::kFloat), db = at::empty({c}, at::kFloat), dx = at::empty_like(x);
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
		back_apply_(in + from * c, g + from * ld, ld, a, b, slope.data(), offset.data(), to - from, c,
			out + from * c);
	});
	return {dx, dw, db};
}

// The same in kernels.cu's bn_back_sums, bn_back_finish and bn_back_apply.
variable_list backward_gpu(
	const gpu::Kernels &k, const at::Tensor &x, const at::Tensor &dy, int64_t ld, const at::Tensor &kept) {
	int width = static_cast<int>(16 / x.element_size()), channels = static_cast<int>(x.size(1));
	bool wide = aligned(x) && aligned(dy) && ld % width == 0;
	Plan sums(k, x, wide, for_sums);
	at::Tensor partial = scratch(x, {sums.grid.y, 2, channels}), line = scratch(x, {2, channels});
	at::Tensor dw = scratch(x, {channels}), db = scratch(x, {channels}), dx = at::empty_like(x);
	const void *in = x.const_data_ptr(), *g = dy.const_data_ptr();
	const float *k4 = kept.const_data_ptr<float>();
	auto distance = [&](const Plan &p) { return static_cast<long long>(p.groups == channels ? ld : ld / width); };
	k.launch("bn_back_sums_" + sums.suffix, sums.grid, sums.block, in, g, distance(sums), k4,
		static_cast<long long>(sums.rows), sums.groups, partial.mutable_data_ptr<float>());
	k.launch("bn_back_finish_any", columns(channels), {32, 8}, partial.const_data_ptr<float>(),
		static_cast<int>(sums.grid.y), channels, static_cast<double>(sums.rows), k4,
		dw.mutable_data_ptr<float>(), db.mutable_data_ptr<float>(), line.mutable_data_ptr<float>());
	Plan stream(k, x, wide && aligned(dx), for_streams);
	k.launch("bn_back_apply_" + stream.suffix, stream.grid, stream.block, in, g, distance(stream), k4,
		line.const_data_ptr<float>(), static_cast<long long>(stream.rows), stream.groups,
		dx.mutable_data_ptr());
	return {dx, dw, db};
}

struct BatchNormReLU : torch::autograd::Function<BatchNormReLU> {
	static at::Tensor forward(AutogradContext *ctx, const at::Tensor &x, const at::Tensor &w, const at::Tensor &b,
		const at::Tensor &rm, const at::Tensor &rv, double momentum, double eps, const Config *config) {
		at::Tensor kept = at::empty(
			{4, x.size(1)}, x.options().dtype(at::kFloat).memory_format(at::MemoryFormat::Contiguous));
		at::Tensor y;
		if (config->kernels)
			y = forward_gpu(*config->kernels, x, w, b, rm, rv, momentum, eps, kept);
		else if (x.scalar_type() == at::kFloat)
			y = forward_cpu<float>(x, w, b, rm, rv, momentum, eps, config->threads, kept);
		else
			y = forward_cpu<bf16>(x, w, b, rm, rv, momentum, eps, config->threads, kept);
		ctx->save_for_backward({x, kept});
		ctx->saved_data["config"] = keep(config); // the engine's, which outlives the pass
		return y;
	}
	static variable_list backward(AutogradContext *ctx, const variable_list &dy) {
		auto saved = ctx->get_saved_variables();
		const Config *config = kept<const Config *>(ctx->saved_data["config"]);
		at::Tensor g = dy[0];
		int64_t ld = row_stride(g);
		if (ld == 0) {
			g = g.contiguous(at::MemoryFormat::ChannelsLast);
			ld = g.size(1);
		}
		variable_list d;
		if (config->kernels)
			d = backward_gpu(*config->kernels, saved[0], g, ld, saved[1]);
		else if (saved[0].scalar_type() == at::kFloat)
			d = backward_cpu<float>(saved[0], g, ld, saved[1], config->threads);
		else
			d = backward_cpu<bf16>(saved[0], g, ld, saved[1], config->threads);
		return {d[0], d[1], d[2], {}, {}, {}, {}, {}};
	}
};

bool can_fuse(const at::Tensor &x, const Config &config) {
	bool type = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16 ||
		(config.kernels && x.scalar_type() == at::kHalf);
	return (config.kernels || x.device().is_cpu()) && type && x.dim() == 4 && x.numel() > 0 &&
		x.is_contiguous(at::MemoryFormat::ChannelsLast);
}

} // namespace

at::Tensor batch_norm(const at::Tensor &x, const BatchNorm &n, const Config &config) {
	if (n.relu && n.training && can_fuse(x, config))
		return BatchNormReLU::apply(
			x, n.weight, n.bias, n.running_mean, n.running_var, n.momentum, n.eps, &config);
	at::Tensor y =
		at::batch_norm(x, n.weight, n.bias, n.running_mean, n.running_var, n.training, n.momentum, n.eps, true);
	return n.relu ? y.relu_() : y;
}

} // namespace synshard
