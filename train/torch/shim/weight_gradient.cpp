// The gradient of a convolution to its weights on processors with AVX2 and no wider registers: oneDNN 3.10 has there
// kernels made of matrix products (brgemm) for the convolution itself and for the gradient to its input and none for
// this, and reaches with channels innermost a third of their rate. So it is a matrix product of our own, after Goto and
// van de Geijn (2008, doi.org/10.1145/1356052.1356053):
//
//	dw[o, tap, i] = sum over pixels p of dy[p, o] x[p moved by tap, i]
//
// cut into chunks of pixels whose dy, packed, stays in the second cache, and tiles of input channels of one tap, which
// are packed from where they lie (no im2col of the whole image), so that the innermost loop reads two streams and keeps
// its sums in registers.
#include "engine.h"
#include "rows.h"

#include <ATen/Version.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

namespace synshard {

namespace {

// Channels of a tile of the input, and the most of a tile of the output: 12 registers of sums.
constexpr int64_t in_tile = 16, out_tile = 6;

#define AVX2 __attribute__((target("avx2,fma")))

// Pixels a chunk, tiles of the input packed at a time, channels of the output packed at a time: 64 and 192 KiB.
constexpr int64_t depth = 256, in_group = 4, out_block = 192;

struct Shape {
	int64_t in[2], out[2], kernel[2], stride[2], pad[2], in_channels, out_channels, pixels; // of all outputs

	int64_t tiles() const { return kernel[0] * kernel[1] * in_channels / in_tile; }
	int64_t columns() const { return kernel[0] * kernel[1] * in_channels; } // of dw, a row of which is an output
	int64_t chunks() const { return (pixels + depth - 1) / depth; }
};

// Rows are pixels, ld numbers apart.
struct Rows {
	const float *data;
	int64_t ld;
};

// cut gives where part i of n of size begins; parts are as alike as can be.
int64_t cut(int64_t size, int64_t i, int64_t n) {
	return size * i / n;
}
int64_t parts_of(int64_t channels) {
	return (channels + out_tile - 1) / out_tile;
}

// multiply adds the product of M columns of a and in_tile of b over k rows to c, or, first, makes it that.
template <int M> AVX2 void multiply(const float *a, const float *b, int64_t k, float *c, int64_t ld_c, bool first) {
	__m256 s[M][2];
#pragma GCC unroll 6
	for (int m = 0; m < M; m++)
		s[m][0] = s[m][1] = _mm256_setzero_ps();
	for (int64_t i = 0; i < k; i++, a += M, b += in_tile) {
		__m256 left = _mm256_load_ps(b), right = _mm256_load_ps(b + 8);
#pragma GCC unroll 6
		for (int m = 0; m < M; m++) {
			__m256 v = _mm256_broadcast_ss(a + m);
			s[m][0] = _mm256_fmadd_ps(v, left, s[m][0]);
			s[m][1] = _mm256_fmadd_ps(v, right, s[m][1]);
		}
	}
#pragma GCC unroll 6
	for (int m = 0; m < M; m++, c += ld_c) {
		if (!first) {
			s[m][0] = _mm256_add_ps(s[m][0], _mm256_loadu_ps(c));
			s[m][1] = _mm256_add_ps(s[m][1], _mm256_loadu_ps(c + 8));
		}
		_mm256_storeu_ps(c, s[m][0]);
		_mm256_storeu_ps(c + 8, s[m][1]);
	}
}

constexpr void (*multiply_by[out_tile + 1])(const float *, const float *, int64_t, float *, int64_t, bool) = {
	nullptr, multiply<1>, multiply<2>, multiply<3>, multiply<4>, multiply<5>, multiply<6>};

// pack_output lays out rows of channels tile by tile, each row by row.
void pack_output(Rows dy, int64_t rows, int64_t channels, float *to) {
	for (int64_t t = 0, n = parts_of(channels); t < n; t++) {
		int64_t from = cut(channels, t, n), width = cut(channels, t + 1, n) - from;
		const float *row = dy.data + from;
		if (width == out_tile)
			for (int64_t r = 0; r < rows; r++, row += dy.ld, to += out_tile)
				std::memcpy(to, row, out_tile * sizeof(float));
		else
			for (int64_t r = 0; r < rows; r++, row += dy.ld, to += width)
				for (int64_t i = 0; i < width; i++)
					to[i] = row[i];
	}
}

// pack_input lays out what the outputs' pixels from first on see of the input through a tap, 0 outside of it: tiles of
// in_tile channels from channel on, depth rows of room for each.
AVX2 void pack_input(
	const Shape &s, Rows x, int64_t first, int64_t rows, int64_t tap, int64_t channel, int64_t tiles, float *to) {
	int64_t down = tap / s.kernel[1] - s.pad[0], right = tap % s.kernel[1] - s.pad[1];
	for (int64_t r = 0; r < rows;) {
		int64_t p = first + r, column = p % s.out[1], line = p / s.out[1] % s.out[0],
			image = p / (s.out[0] * s.out[1]);
		int64_t h = line * s.stride[0] + down, end = r + std::min(rows - r, s.out[1] - column);
		bool inside = h >= 0 && h < s.in[0];
		const float *start = x.data + (image * s.in[0] + h) * s.in[1] * x.ld + channel;
		for (; r < end; r++, column++) {
			int64_t w = column * s.stride[1] + right;
			float *row = to + r * in_tile;
			if (!inside || w < 0 || w >= s.in[1]) {
				for (int64_t t = 0; t < tiles; t++, row += depth * in_tile)
					std::memset(row, 0, in_tile * sizeof(float));
				continue;
			}
			const float *from = start + w * x.ld;
			for (int64_t t = 0; t < tiles; t++, from += in_tile, row += depth * in_tile) {
				_mm256_store_ps(row, _mm256_loadu_ps(from));
				_mm256_store_ps(row + 8, _mm256_loadu_ps(from + 8));
			}
		}
	}
}

// Part is some tiles' share of the product over some chunks.
struct Part {
	int64_t chunk, last_chunk, tile, last_tile;
};

void multiply_part(const Shape &s, Rows x, Rows dy, const Part &part, float *dw) {
	alignas(64) static thread_local float a[out_block * depth], b[in_group * in_tile * depth];
	int64_t tiles_a_tap = s.in_channels / in_tile;
	for (int64_t chunk = part.chunk; chunk < part.last_chunk; chunk++)
		for (int64_t o = 0; o < s.out_channels; o += out_block) {
			int64_t first = chunk * depth, rows = std::min(depth, s.pixels - first),
				channels = std::min(out_block, s.out_channels - o), n = parts_of(channels);
			pack_output({dy.data + first * dy.ld + o, dy.ld}, rows, channels, a);
			for (int64_t t = part.tile; t < part.last_tile;) {
				int64_t tap = t / tiles_a_tap, in_tap = t % tiles_a_tap,
					group = std::min({in_group, part.last_tile - t, tiles_a_tap - in_tap});
				pack_input(s, x, first, rows, tap, in_tap * in_tile, group, b);
				for (int64_t end = t + group, i = 0; t < end; t++, i++)
					for (int64_t m = 0; m < n; m++) {
						int64_t from = cut(channels, m, n), to = cut(channels, m + 1, n);
						multiply_by[to - from](a + from * rows, b + i * depth * in_tile, rows,
							dw + (o + from) * s.columns() + t * in_tile, s.columns(),
							chunk == part.chunk);
					}
			}
		}
}

// Cut is how the work is dealt to threads: tiles into across, chunks into deep parts.
struct Cut {
	int64_t across, deep;
};

// cut_for takes the cut that leaves the least to the thread that has most; of such, the one with the fewest sums.
Cut cut_for(const Shape &s, int64_t threads) {
	auto most = [](int64_t size, int64_t parts) { return (size + parts - 1) / parts; };
	Cut best{1, 1};
	int64_t least = s.tiles() * s.chunks();
	for (int64_t across = std::min(threads, s.tiles()); across > 0; across--) {
		int64_t deep = std::min(threads / across, s.chunks());
		int64_t work = most(s.tiles(), across) * most(s.chunks(), deep);
		if (work < least) {
			least = work;
			best = {across, deep};
		}
	}
	return best;
}

void multiply_all(const Shape &s, Rows x, Rows dy, float *dw, int threads) {
	Cut c = cut_for(s, threads);
	int64_t size = s.out_channels * s.columns();
	at::Tensor more = at::empty({c.deep - 1, size}, at::kFloat);
	float *sums = more.mutable_data_ptr<float>();
	at::parallel_for(0, c.across * c.deep, 1, [&](int64_t begin, int64_t end) {
		for (int64_t i = begin; i < end; i++) {
			int64_t a = i % c.across, d = i / c.across;
			Part part{cut(s.chunks(), d, c.deep), cut(s.chunks(), d + 1, c.deep),
				cut(s.tiles(), a, c.across), cut(s.tiles(), a + 1, c.across)};
			multiply_part(s, x, dy, part, d == 0 ? dw : sums + (d - 1) * size);
		}
	});
	at::parallel_for(0, size, 1 << 14, [&](int64_t begin, int64_t end) {
		for (int64_t d = 1; d < c.deep; d++)
			for (int64_t i = begin; i < end; i++)
				dw[i] += sums[(d - 1) * size + i];
	});
}

} // namespace

// libtorch's word for the processor can be set (ATEN_CPU_CAPABILITY=avx2), so that wider ones can be tried as narrower.
bool own_weight_gradients(const Config &config) {
	static const bool narrow = at::get_cpu_capability() == "AVX2";
	return narrow && config.fused && config.device.is_cpu() && !config.kernels;
}

bool weight_gradient_fits(const at::Tensor &x, const at::Tensor &w, const Config &config) {
	return own_weight_gradients(config) && fuses(x, config) && x.scalar_type() == at::kFloat &&
		w.size(1) == x.size(1) && w.size(1) % in_tile == 0;
}

at::Tensor weight_gradient(const at::Tensor &dy, const at::Tensor &x, const at::Tensor &w, at::IntArrayRef stride,
	at::IntArrayRef pad, const Config &config) {
	Shape s{{x.size(2), x.size(3)}, {dy.size(2), dy.size(3)}, {w.size(2), w.size(3)}, {stride[0], stride[1]},
		{pad[0], pad[1]}, w.size(1), w.size(0), dy.size(0) * dy.size(2) * dy.size(3)};
	at::Tensor even = row_stride(dy) ? dy : dy.contiguous(at::MemoryFormat::ChannelsLast);
	at::Tensor dw = at::empty(w.sizes(), w.options().memory_format(at::MemoryFormat::ChannelsLast));
	multiply_all(s, {x.const_data_ptr<float>(), row_stride(x)}, {even.const_data_ptr<float>(), row_stride(even)},
		dw.mutable_data_ptr<float>(), config.threads);
	return dw;
}

} // namespace synshard

#else

namespace synshard {

bool own_weight_gradients(const Config &) {
	return false;
}

bool weight_gradient_fits(const at::Tensor &, const at::Tensor &, const Config &) {
	return false;
}

at::Tensor weight_gradient(
	const at::Tensor &, const at::Tensor &, const at::Tensor &, at::IntArrayRef, at::IntArrayRef, const Config &) {
	throw std::logic_error("no gradient of our own for this processor");
}

} // namespace synshard

#endif
