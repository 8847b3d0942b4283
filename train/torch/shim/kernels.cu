// Kernels for NVIDIA's processors, compiled at run time for the one that is there. Images are [rows, channels], a row
// being a pixel of the batch. A thread works on N neighbouring channels: 16 bytes where the channels allow it, else
// one. The arithmetic is batch_norm.cpp's and optimizer.cpp's.

using namespace synshard::gpu;

#define INLINE __device__ __forceinline__

#ifdef __CUDACC_RTC__ // emulate.cpp has its own
#define KERNEL(name, args) extern "C" __global__ void __launch_bounds__(block_threads) name args
// Of which so many blocks are to have room on a multiprocessor: the registers that this leaves to a thread are for its
// loads, which the compiler otherwise makes one after the other to save them.
#define KERNEL_RESIDENT(blocks, name, args) \
	extern "C" __global__ void __launch_bounds__(block_threads, blocks) name args
INLINE float half_to_float(unsigned short h) {
	float f;
	asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
	return f;
}
INLINE unsigned short float_to_half(float f) {
	unsigned short h;
	asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
	return h;
}
#endif

struct F32 {
	typedef unsigned int Store;
	static INLINE float get(unsigned int u) { return __uint_as_float(u); }
	static INLINE unsigned int put(float v) { return __float_as_uint(v); }
	static INLINE unsigned int pair(float, float) { return 0; } // a word holds one
};

struct BF16 {
	typedef unsigned short Store;
	static INLINE float get(unsigned int u) { return __uint_as_float(u << 16); }
	static INLINE unsigned int put(float v) { // to the nearest, ties to even; NaN stays NaN
		unsigned int u = __float_as_uint(v);
		return (u & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (u + 0x7fff + ((u >> 16) & 1)) >> 16;
	}
	static INLINE unsigned int pair(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
		unsigned int u;
		asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(u) : "f"(high), "f"(low));
		return u;
#else
		return put(low) | put(high) << 16;
#endif
	}
};

struct F16 {
	typedef unsigned short Store;
	static INLINE float get(unsigned int u) { return half_to_float((unsigned short)u); }
	static INLINE unsigned int put(float v) { return float_to_half(v); }
	static INLINE unsigned int pair(float low, float high) { return put(low) | put(high) << 16; }
};

struct alignas(16) Pack {
	unsigned int word[4];
};

// Raw is what N channels are in memory. It is loaded apart from being read (values), so that several loads are under
// way before the first is waited for, in few registers.
template <class T, int N> struct Raw {
	Pack pack;
};
template <class T> struct Raw<T, 1> {
	typename T::Store one;
};

template <class T, int N> INLINE void fetch(const void *from, long long i, Raw<T, N> &raw) {
	raw = static_cast<const Raw<T, N> *>(from)[i];
}

template <class T> INLINE void values(const Raw<T, 1> &raw, float (&v)[1]) {
	v[0] = T::get(raw.one);
}
template <class T, int N> INLINE void values(const Raw<T, N> &raw, float (&v)[N]) {
	constexpr int per_word = 4 / sizeof(typename T::Store);
	constexpr unsigned int mask = per_word == 1 ? 0xffffffffu : 0xffffu;
#pragma unroll
	for (int k = 0; k < N; k++)
		v[k] = T::get((raw.pack.word[k / per_word] >> (16 * (k % per_word))) & mask);
}

template <class T, int N> INLINE void load(const void *from, long long i, float (&v)[N]) {
	Raw<T, N> raw;
	fetch<T, N>(from, i, raw);
	values<T>(raw, v);
}

template <class T> INLINE void store(void *to, long long i, const float (&v)[1]) {
	static_cast<typename T::Store *>(to)[i] = (typename T::Store)T::put(v[0]);
}
template <class T, int N> INLINE void store(void *to, long long i, const float (&v)[N]) {
	constexpr int per_word = 4 / sizeof(typename T::Store);
	Pack p;
#pragma unroll
	for (int w = 0; w < 4; w++)
		p.word[w] = per_word == 1 ? T::put(v[w]) : T::pair(v[(2 * w) % N], v[(2 * w + 1) % N]);
	static_cast<Pack *>(to)[i] = p;
}

// each_row goes over the rows of this thread, a few at a time: load(j, row) of all of them first, then use(j, row).
template <int batch, class Load, class Use> INLINE void each_row(long long rows, Load load, Use use) {
	const long long step = (long long)gridDim.y * blockDim.y;
	long long r = (long long)blockIdx.y * blockDim.y + threadIdx.y;
	for (; r + (batch - 1) * step < rows; r += batch * step) {
#pragma unroll
		for (int j = 0; j < batch; j++)
			load(j, r + j * step);
#pragma unroll
		for (int j = 0; j < batch; j++)
			use(j, r + j * step);
	}
	for (; r < rows; r += step) {
		load(0, r);
		use(0, r);
	}
}

template <int N> INLINE void take(const float *from, int group, float (&v)[N]) {
#pragma unroll
	for (int k = 0; k < N; k++)
		v[k] = from[group * N + k];
}

// block_sums adds s and q up over the block's threads of the same channels and writes
// partial[split][0: s, 1: q][channels].
template <int N> INLINE void block_sums(const float (&s)[N], const float (&q)[N], int groups, float *partial) {
	__shared__ float shared[block_threads * 2 * N];
	int bx = blockDim.x, tx = threadIdx.x, ty = threadIdx.y;
#pragma unroll
	for (int k = 0; k < N; k++) {
		shared[(ty * 2 * N + k) * bx + tx] = s[k];
		shared[(ty * 2 * N + N + k) * bx + tx] = q[k];
	}
	__syncthreads();
	for (int i = ty * bx + tx; i < 2 * N * bx; i += bx * blockDim.y) {
		float sum = 0;
		for (int y = 0; y < (int)blockDim.y; y++)
			sum += shared[y * 2 * N * bx + i];
		int group = blockIdx.x * bx + i % bx, k = i / bx % N, which = i / (bx * N);
		if (group < groups)
			partial[((long long)blockIdx.y * 2 + which) * groups * N + group * N + k] = sum;
	}
}

// Sums of x - x[0] and its square: near the mean, against cancellation. Here and below a tensor's pixels are ld_ groups
// apart: it may be some of the channels of a wider one.
template <class T, int N>
INLINE void bn_sums(const void *x, long long ld_x, long long rows, int groups, float *partial) {
	int group = blockIdx.x * blockDim.x + threadIdx.x;
	float s[N] = {}, q[N] = {}, shift[N], v[N];
	if (group < groups) {
		load<T, N>(x, group, shift);
		Raw<T, N> at[4];
		each_row<4>(
			rows, [&](int j, long long r) { fetch<T, N>(x, r * ld_x + group, at[j]); },
			[&](int j, long long) {
				values<T>(at[j], v);
#pragma unroll
				for (int k = 0; k < N; k++) {
					float d = v[k] - shift[k];
					s[k] += d;
					q[k] += d * d;
				}
			});
	}
	block_sums<N>(s, q, groups, partial);
}

// Sums of g and g (x - mean), where g is dy let through by the ReLU.
template <class T, int N>
INLINE void bn_back_sums(const void *x, long long ld_x, const void *dy, long long ld_dy, const float *kept,
	long long rows, int groups, float *partial) {
	int group = blockIdx.x * blockDim.x + threadIdx.x, channels = groups * N;
	float s[N] = {}, q[N] = {};
	if (group < groups) {
		float mean[N], a[N], b[N], v[N], g[N];
		take<N>(kept, group, mean);
		take<N>(kept + 2 * channels, group, a);
		take<N>(kept + 3 * channels, group, b);
		Raw<T, N> at[2], dat[2];
		each_row<2>(
			rows,
			[&](int j, long long r) {
				fetch<T, N>(x, r * ld_x + group, at[j]);
				fetch<T, N>(dy, r * ld_dy + group, dat[j]);
			},
			[&](int j, long long) {
				values<T>(at[j], v);
				values<T>(dat[j], g);
#pragma unroll
				for (int k = 0; k < N; k++) {
					float through = v[k] * a[k] + b[k] > 0 ? g[k] : 0;
					s[k] += through;
					q[k] += through * (v[k] - mean[k]);
				}
			});
	}
	block_sums<N>(s, q, groups, partial);
}

// column_sums adds the splits' sums of a channel up, in blocks of finish_channels by finish_threads; true in the thread
// that has them.
INLINE bool column_sums(const float *partial, int splits, int channels, int c, double &s, double &q) {
	__shared__ double shared[2][finish_threads][finish_channels];
	s = q = 0;
	if (c < channels)
#pragma unroll 4
		for (int p = threadIdx.y; p < splits; p += finish_threads) {
			s += partial[(long long)p * 2 * channels + c];
			q += partial[((long long)p * 2 + 1) * channels + c];
		}
	shared[0][threadIdx.y][threadIdx.x] = s;
	shared[1][threadIdx.y][threadIdx.x] = q;
	__syncthreads();
	if (threadIdx.y != 0 || c >= channels)
		return false;
	for (int y = 1; y < finish_threads; y++) {
		s += shared[0][y][threadIdx.x];
		q += shared[1][y][threadIdx.x];
	}
	return true;
}

// kept is [4, channels]: mean, 1/deviation, and a and b of y = a x + b.
template <class T>
INLINE void bn_finish(const void *x, const float *partial, int splits, int channels, double rows, const float *weight,
	const float *bias, float *running_mean, float *running_var, double momentum, double eps, float *kept) {
	int c = blockIdx.x * finish_channels + threadIdx.x;
	double s, q;
	if (!column_sums(partial, splits, channels, c, s, q))
		return;
	float shift[1];
	load<T, 1>(x, c, shift);
	double d = s / rows, mean = shift[0] + d, var = q / rows - d * d;
	var = var < 0 ? 0 : var;
	double inverse = 1 / sqrt(var + eps);
	kept[c] = (float)mean;
	kept[channels + c] = (float)inverse;
	kept[2 * channels + c] = (float)(weight[c] * inverse);
	kept[3 * channels + c] = (float)(bias[c] - mean * weight[c] * inverse);
	running_mean[c] = (float)((1 - momentum) * running_mean[c] + momentum * mean);
	running_var[c] = (float)((1 - momentum) * running_var[c] + momentum * var * rows / (rows > 1 ? rows - 1 : 1));
}

// line is [2, channels]: k and d of dx = a g + k x + d.
INLINE void bn_back_finish(const float *partial, int splits, int channels, double rows, const float *kept,
	float *dweight, float *dbias, float *line) {
	int c = blockIdx.x * finish_channels + threadIdx.x;
	double s, q;
	if (!column_sums(partial, splits, channels, c, s, q))
		return;
	double mean = kept[c], inverse = kept[channels + c], a = kept[2 * channels + c], w = q * inverse;
	dweight[c] = (float)w;
	dbias[c] = (float)s;
	float k = (float)(-a * inverse * w / rows);
	line[c] = k;
	line[channels + c] = (float)(-a * s / rows - (double)k * mean);
}

template <class T, int N>
INLINE void bn_apply(
	const void *x, long long ld_x, const float *kept, long long rows, int groups, void *y, long long ld_y) {
	int group = blockIdx.x * blockDim.x + threadIdx.x, channels = groups * N;
	if (group >= groups)
		return;
	float a[N], b[N], v[N];
	take<N>(kept + 2 * channels, group, a);
	take<N>(kept + 3 * channels, group, b);
	Raw<T, N> at[4];
	each_row<4>(
		rows, [&](int j, long long r) { fetch<T, N>(x, r * ld_x + group, at[j]); },
		[&](int j, long long r) {
			values<T>(at[j], v);
#pragma unroll
			for (int k = 0; k < N; k++) {
				float u = v[k] * a[k] + b[k];
				v[k] = u < 0 ? 0 : u;
			}
			store<T>(y, r * ld_y + group, v);
		});
}

template <class T, int N>
INLINE void bn_back_apply(const void *x, long long ld_x, const void *dy, long long ld_dy, const float *kept,
	const float *line, long long rows, int groups, void *dx, long long ld_dx) {
	int group = blockIdx.x * blockDim.x + threadIdx.x, channels = groups * N;
	if (group >= groups)
		return;
	float a[N], b[N], slope[N], offset[N], v[N], g[N];
	take<N>(kept + 2 * channels, group, a);
	take<N>(kept + 3 * channels, group, b);
	take<N>(line, group, slope);
	take<N>(line + channels, group, offset);
	Raw<T, N> at[2], dat[2];
	each_row<2>(
		rows,
		[&](int j, long long r) {
			fetch<T, N>(x, r * ld_x + group, at[j]);
			fetch<T, N>(dy, r * ld_dy + group, dat[j]);
		},
		[&](int j, long long r) {
			values<T>(at[j], v);
			values<T>(dat[j], g);
#pragma unroll
			for (int k = 0; k < N; k++) {
				float through = v[k] * a[k] + b[k] > 0 ? g[k] : 0;
				v[k] = a[k] * through + slope[k] * v[k] + offset[k];
			}
			store<T>(dx, r * ld_dx + group, v);
		});
}

// Pools. A thread makes N channels of one pixel at a time; K is the window's height and width, or in the backward pass
// how many windows of either axis look at a pixel, so that all is loaded before the first is waited for; 0: any number.

// Pixel is where a thread's work lies.
struct Pixel {
	int group, x, y;
	unsigned int image;
	INLINE Pixel(unsigned int i, int groups, const int (&size)[2]) {
		group = i % groups;
		i /= groups;
		x = i % size[1];
		i /= size[1];
		y = i % size[0];
		image = i / size[0];
	}
};

// each_pixel calls load(k, y, x) and use(k, y, x) for the pixels of two spans, at most K by K; beyond a span's end the
// last one is loaded again and not used.
template <int K, class Load, class Use> INLINE void each_pixel(Span rows, Span columns, Load load, Use use) {
	if (K == 0) {
		for (int y = rows.from; y < rows.to; y++)
			for (int x = columns.from; x < columns.to; x++) {
				load(0, y, x);
				use(0, y, x);
			}
		return;
	}
	if (rows.from >= rows.to || columns.from >= columns.to)
		return;
#pragma unroll
	for (int k = 0; k < K * K; k++) {
		int y = rows.from + k / (K ? K : 1), x = columns.from + k % (K ? K : 1);
		load(k, y < rows.to ? y : rows.to - 1, x < columns.to ? x : columns.to - 1);
	}
#pragma unroll
	for (int k = 0; k < K * K; k++) {
		int y = rows.from + k / (K ? K : 1), x = columns.from + k % (K ? K : 1);
		if (y < rows.to && x < columns.to)
			use(k, y, x);
	}
}

// Bytes is N of them, as they lie in memory.
template <int N> struct alignas(N) Bytes {
	unsigned char of[N];
};

// at is [pixels, channels]: the place of the maximum in the window.
template <class T, int N, int K>
INLINE void max_pool(const void *x, long long ld_x, const Window &w, unsigned int n, int groups, void *y,
	long long ld_y, unsigned char *at) {
	for (unsigned int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
		Pixel p(i, groups, w.out);
		Span rows = pixels_of(w, 0, p.y), columns = pixels_of(w, 1, p.x);
		float best[N], v[N];
		int place[N];
#pragma unroll
		for (int k = 0; k < N; k++) {
			best[k] = -__uint_as_float(0x7f800000);
			place[k] = place_in(w, p.y, p.x, rows.from, columns.from);
		}
		Raw<T, N> raw[K ? K * K : 1];
		each_pixel<K>(
			rows, columns,
			[&](int k, int h, int c) {
				fetch<T, N>(
					x, (((long long)p.image * w.in[0] + h) * w.in[1] + c) * ld_x + p.group, raw[k]);
			},
			[&](int k, int h, int c) {
				int here = place_in(w, p.y, p.x, h, c);
				values<T>(raw[k], v);
#pragma unroll
				for (int j = 0; j < N; j++)
					if (v[j] > best[j] || v[j] != v[j]) {
						best[j] = v[j];
						place[j] = here;
					}
			});
		Bytes<N> bytes;
#pragma unroll
		for (int k = 0; k < N; k++)
			bytes.of[k] = place[k];
		reinterpret_cast<Bytes<N> *>(at)[i] = bytes;
		store<T>(y, (long long)(i / groups) * ld_y + p.group, best);
	}
}

template <class T, int N>
INLINE void max_pool_back(const void *dy, long long ld_dy, const unsigned char *at, const Window &w, unsigned int n,
	int groups, void *dx, long long ld_dx) {
	for (unsigned int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
		Pixel p(i, groups, w.in);
		float sum[N] = {}, g[N];
		Raw<T, N> raw;
		Bytes<N> bytes;
		each_pixel<0>(
			windows_of(w, 0, p.y), windows_of(w, 1, p.x),
			[&](int, int h, int c) {
				long long pixel = ((long long)p.image * w.out[0] + h) * w.out[1] + c;
				fetch<T, N>(dy, pixel * ld_dy + p.group, raw);
				bytes = reinterpret_cast<const Bytes<N> *>(at)[pixel * groups + p.group];
			},
			[&](int, int h, int c) {
				int here = place_in(w, h, c, p.y, p.x);
				values<T>(raw, g);
#pragma unroll
				for (int j = 0; j < N; j++)
					sum[j] += bytes.of[j] == here ? g[j] : 0;
			});
		store<T>(dx, (long long)(i / groups) * ld_dx + p.group, sum);
	}
}

// The same of three by three at every second pixel. A thread makes two by two pixels, at which no more than four
// windows look, and reads each of these once: from the edge of the padding on, window i looks at pixels 2i, 2i + 1 and
// 2i + 2, so a pair's first is also the last of the window before. n counts pairs of pairs.
template <class T, int N>
INLINE void max_pool_back_3(const void *dy, long long ld_dy, const unsigned char *at, const Window &w, unsigned int n,
	int groups, void *dx, long long ld_dx) {
	const int size[2] = {pairs(w, 0), pairs(w, 1)};
	for (unsigned int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
		Pixel p(i, groups, size);
		Raw<T, N> raw[4];
		Bytes<N> bytes[4];
		bool there[4];
#pragma unroll
		for (int k = 0; k < 4; k++) {
			int h = p.y - 1 + k / 2, c = p.x - 1 + k % 2;
			there[k] = h >= 0 && h < w.out[0] && c >= 0 && c < w.out[1];
			long long pixel =
				((long long)p.image * w.out[0] + (there[k] ? h : 0)) * w.out[1] + (there[k] ? c : 0);
			fetch<T, N>(dy, pixel * ld_dy + p.group, raw[k]);
			bytes[k] = reinterpret_cast<const Bytes<N> *>(at)[pixel * groups + p.group];
		}
#pragma unroll
		for (int q = 0; q < 4; q++) {
			int y = 2 * p.y + q / 2 - w.pad[0], x = 2 * p.x + q % 2 - w.pad[1];
			if (y < 0 || y >= w.in[0] || x < 0 || x >= w.in[1])
				continue;
			float sum[N] = {}, g[N];
#pragma unroll
			for (int k = 0; k < 4; k++) {
				int row = k / 2 ? q / 2 : q / 2 + 2, column = k % 2 ? q % 2 : q % 2 + 2;
				if (row > 2 || column > 2)
					continue;
				int here = there[k] ? 3 * row + column : -1;
				values<T>(raw[k], g);
#pragma unroll
				for (int j = 0; j < N; j++)
					sum[j] += bytes[k].of[j] == here ? g[j] : 0;
			}
			store<T>(dx, (((long long)p.image * w.in[0] + y) * w.in[1] + x) * ld_dx + p.group, sum);
		}
	}
}

// Of an evaluation each channel is shifted, and what is below least made that: batch norm and ReLU. shift may be null.
template <class T, int N, int K>
INLINE void avg_pool(const void *x, long long ld_x, const Window &w, unsigned int n, int groups, void *y,
	long long ld_y, const float *shift, float least) {
	for (unsigned int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
		Pixel p(i, groups, w.out);
		float sum[N] = {}, v[N], share = share_in(w, p.y, p.x);
		Raw<T, N> raw[K ? K * K : 1];
		each_pixel<K>(
			pixels_of(w, 0, p.y), pixels_of(w, 1, p.x),
			[&](int k, int h, int c) {
				fetch<T, N>(
					x, (((long long)p.image * w.in[0] + h) * w.in[1] + c) * ld_x + p.group, raw[k]);
			},
			[&](int k, int, int) {
				values<T>(raw[k], v);
#pragma unroll
				for (int j = 0; j < N; j++)
					sum[j] += v[j];
			});
#pragma unroll
		for (int k = 0; k < N; k++) {
			float u = sum[k] * share + (shift ? shift[p.group * N + k] : 0);
			sum[k] = u < least ? least : u;
		}
		store<T>(y, (long long)(i / groups) * ld_y + p.group, sum);
	}
}

template <class T, int N, int K>
INLINE void avg_pool_back(
	const void *dy, long long ld_dy, const Window &w, unsigned int n, int groups, void *dx, long long ld_dx) {
	for (unsigned int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
		Pixel p(i, groups, w.in);
		float sum[N] = {}, g[N];
		Raw<T, N> raw[K ? K * K : 1];
		each_pixel<K>(
			windows_of(w, 0, p.y), windows_of(w, 1, p.x),
			[&](int k, int h, int c) {
				fetch<T, N>(dy, (((long long)p.image * w.out[0] + h) * w.out[1] + c) * ld_dy + p.group,
					raw[k]);
			},
			[&](int k, int h, int c) {
				float share = share_in(w, h, c);
				values<T>(raw[k], g);
#pragma unroll
				for (int j = 0; j < N; j++)
					sum[j] += g[j] * share;
			});
		store<T>(dx, (long long)(i / groups) * ld_dx + p.group, sum);
	}
}

// Bytes [pixels, 3] to what the first convolution reads, [pixels, 8], of which five are 0: convolutions work on
// channels in eights, and cuDNN would have to bring them there.
template <class T>
INLINE void normalise_8(
	const unsigned char *bytes, const float *scale, const float *shift, long long pixels, void *to) {
	constexpr int N = 16 / sizeof(typename T::Store);
	for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < pixels;
		i += (long long)gridDim.x * blockDim.x) {
		float v[N] = {};
#pragma unroll
		for (int c = 0; c < 3; c++)
			v[c] = bytes[3 * i + c] * scale[c] + shift[c];
		store<T>(to, i * (8 / N), v);
		if (N < 8) {
			float none[N] = {};
			store<T>(to, i * (8 / N) + 1, none);
		}
	}
}

// A mask of 0 and 1/(1-p): network.cpp's, a function of seed, node and place alone.
template <class T> INLINE void dropout(const Settings *settings, int node, float p, long long n, void *mask) {
	for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n;
		i += (long long)gridDim.x * blockDim.x) {
		float v[1] = {dropout_at(settings->seed, node, i, p)};
		store<T>(mask, i, v);
	}
}

// One thread looks at the norm of the gradients as they are (loss scale included) and decides what the update does.
INLINE void decide_(
	const float *norm, State *state, Result *result, double clip_norm, double beta1, double beta2, Loss loss) {
	double scale = loss.fp16 ? state->loss_scale : 1, found = *norm / scale, factor = 1 / scale;
	bool finite = found - found == 0;
	if (clip_norm > 0 && found > clip_norm)
		factor *= clip_norm / found;
	state->apply = finite;
	state->factor = factor;
	result->grad_norm = found;
	result->loss_scale = scale;
	result->skipped = loss.fp16 && !finite;
	if (finite) {
		state->updates++;
		state->correct1 = 1 - pow(beta1, (double)state->updates);
		state->correct2 = 1 - pow(beta2, (double)state->updates);
	}
	if (!loss.fp16)
		return;
	if (!finite) {
		state->loss_scale = scale / 2 < 1 ? 1 : scale / 2;
		state->good_steps = 0;
	} else if (++state->good_steps == loss.interval) {
		state->loss_scale = scale * 2 > loss.largest ? loss.largest : scale * 2;
		state->good_steps = 0;
	}
}

// lower writes a weight as the network's convolutions read it.
INLINE void lower(const Entry &t, long long i, float p, const Rule &r) {
	if (t.low)
		static_cast<unsigned short *>(t.low)[i] = (unsigned short)(r.half ? F16::put(p) : BF16::put(p));
}

// All weights lowered that nobody lowered when they changed: they were set.
INLINE void lower_all(const Entry *entries, const Chunk *chunks, const Rule &r) {
	Chunk chunk = chunks[blockIdx.x];
	Entry t = entries[chunk.entry];
	long long from = (long long)chunk.index * chunk_elements,
		  to = from + chunk_elements < t.n ? from + chunk_elements : t.n;
	if (!t.low)
		return;
	for (long long i = from + threadIdx.x; i < to; i += blockDim.x)
		lower(t, i, t.value[i], r);
}

enum { rmsprop, sgd, adamw };

// A block updates one chunk of one tensor: slots, value, average and what the network reads, in one pass over memory.
template <int rule>
INLINE void update(const Settings *settings, const State *state, const Entry *entries, const Chunk *chunks,
	const Rule &r, const Gradients &gradients) {
	if (!state->apply)
		return;
	Chunk chunk = chunks[blockIdx.x];
	Entry t = entries[chunk.entry];
	const float *gradient = t.gradient < 0 ? nullptr : gradients.of[t.gradient];
	if (!gradient && !t.ema)
		return;
	const float lr = settings->lr * t.rate, keep = 1 - settings->ema_decay, factor = state->factor;
	const float correct1 = state->correct1, correct2 = state->correct2, decay = t.decayed ? r.weight_decay : 0;
	long long from = (long long)chunk.index * chunk_elements,
		  to = from + chunk_elements < t.n ? from + chunk_elements : t.n;
	for (long long i = from + threadIdx.x; i < to; i += blockDim.x) {
		float p = t.value[i];
		if (gradient) {
			float d = gradient[i] * factor;
			if (r.clip_value > 0)
				d = fminf(fmaxf(d, -r.clip_value), r.clip_value);
			if (rule != adamw)
				d += decay * p;
			float a = t.slot0[i];
			if (rule == rmsprop) {
				a = r.rho * a + (1 - r.rho) * d * d;
				float b = r.momentum * t.slot1[i] + lr * d / sqrtf(a + r.eps);
				t.slot1[i] = b;
				p -= b;
			} else if (rule == sgd) {
				a = r.momentum * a + d;
				p -= lr * (r.nesterov ? d + r.momentum * a : a);
			} else {
				a = r.beta1 * a + (1 - r.beta1) * d;
				float b = r.beta2 * t.slot1[i] + (1 - r.beta2) * d * d;
				t.slot1[i] = b;
				p -= lr * (decay * p + a / correct1 / (sqrtf(b / correct2) + r.eps));
			}
			t.slot0[i] = a;
			t.value[i] = p;
			lower(t, i, p, r);
		}
		if (t.ema) {
			float e = t.ema[i];
			t.ema[i] = e + keep * (p - e);
		}
	}
}

#define OF_TYPE(T, t, N, n) \
	KERNEL_RESIDENT(4, bn_sums_##t##n, \
		(const void *__restrict__ x, long long ld_x, long long rows, int groups, \
			float *__restrict__ partial)) { \
		bn_sums<T, N>(x, ld_x, rows, groups, partial); \
	} \
	KERNEL_RESIDENT(4, bn_apply_##t##n, \
		(const void *__restrict__ x, long long ld_x, const float *__restrict__ kept, long long rows, \
			int groups, void *__restrict__ y, long long ld_y)) { \
		bn_apply<T, N>(x, ld_x, kept, rows, groups, y, ld_y); \
	} \
	KERNEL_RESIDENT(3, bn_back_sums_##t##n, \
		(const void *__restrict__ x, long long ld_x, const void *__restrict__ dy, long long ld_dy, \
			const float *__restrict__ kept, long long rows, int groups, float *__restrict__ partial)) { \
		bn_back_sums<T, N>(x, ld_x, dy, ld_dy, kept, rows, groups, partial); \
	} \
	KERNEL_RESIDENT(3, bn_back_apply_##t##n, \
		(const void *__restrict__ x, long long ld_x, const void *__restrict__ dy, long long ld_dy, \
			const float *__restrict__ kept, const float *__restrict__ line, long long rows, int groups, \
			void *__restrict__ dx, long long ld_dx)) { \
		bn_back_apply<T, N>(x, ld_x, dy, ld_dy, kept, line, rows, groups, dx, ld_dx); \
	}
OF_TYPE(F32, f32, 4, _wide)
OF_TYPE(F32, f32, 1, )
OF_TYPE(BF16, bf16, 8, _wide)
OF_TYPE(BF16, bf16, 1, )
OF_TYPE(F16, f16, 8, _wide)
OF_TYPE(F16, f16, 1, )

#define POOLS(T, t, N, K, back, n) \
	KERNEL_RESIDENT(3, max_pool_##t##n, \
		(const void *__restrict__ x, long long ld_x, Window w, unsigned int count, int groups, \
			void *__restrict__ y, long long ld_y, unsigned char *__restrict__ at)) { \
		max_pool<T, N, K>(x, ld_x, w, count, groups, y, ld_y, at); \
	} \
	KERNEL_RESIDENT(3, avg_pool_##t##n, \
		(const void *__restrict__ x, long long ld_x, Window w, unsigned int count, int groups, \
			void *__restrict__ y, long long ld_y, const float *__restrict__ shift, float least)) { \
		avg_pool<T, N, K>(x, ld_x, w, count, groups, y, ld_y, shift, least); \
	} \
	KERNEL_RESIDENT(3, max_pool_back_##t##n, \
		(const void *__restrict__ dy, long long ld_dy, const unsigned char *__restrict__ at, Window w, \
			unsigned int count, int groups, void *__restrict__ dx, long long ld_dx)) { \
		back<T, N>(dy, ld_dy, at, w, count, groups, dx, ld_dx); \
	} \
	KERNEL_RESIDENT(3, avg_pool_back_##t##n, \
		(const void *__restrict__ dy, long long ld_dy, Window w, unsigned int count, int groups, \
			void *__restrict__ dx, long long ld_dx)) { \
		avg_pool_back<T, N, K>(dy, ld_dy, w, count, groups, dx, ld_dx); \
	}
// Of three by three, a maximum at every second pixel and an average at every one; of anything else.
POOLS(F32, f32, 4, 3, max_pool_back_3, _wide_3)
POOLS(F32, f32, 4, 0, max_pool_back, _wide)
POOLS(F32, f32, 1, 0, max_pool_back, )
POOLS(BF16, bf16, 8, 3, max_pool_back_3, _wide_3)
POOLS(BF16, bf16, 8, 0, max_pool_back, _wide)
POOLS(BF16, bf16, 1, 0, max_pool_back, )
POOLS(F16, f16, 8, 3, max_pool_back_3, _wide_3)
POOLS(F16, f16, 8, 0, max_pool_back, _wide)
POOLS(F16, f16, 1, 0, max_pool_back, )

#define EACH_TYPE(T, t) \
	KERNEL(bn_finish_##t, \
		(const void *x, const float *partial, int splits, int channels, double rows, const float *weight, \
			const float *bias, float *running_mean, float *running_var, double momentum, double eps, \
			float *kept)) { \
		bn_finish<T>(x, partial, splits, channels, rows, weight, bias, running_mean, running_var, momentum, \
			eps, kept); \
	} \
	KERNEL(normalise_8_##t, \
		(const unsigned char *__restrict__ bytes, const float *__restrict__ scale, \
			const float *__restrict__ shift, long long pixels, void *__restrict__ to)) { \
		normalise_8<T>(bytes, scale, shift, pixels, to); \
	} \
	KERNEL(dropout_##t, (const Settings *settings, int node, float p, long long n, void *mask)) { \
		dropout<T>(settings, node, p, n, mask); \
	}
EACH_TYPE(F32, f32)
EACH_TYPE(BF16, bf16)
EACH_TYPE(F16, f16)

KERNEL(bn_back_finish_any,
	(const float *partial, int splits, int channels, double rows, const float *kept, float *dweight, float *dbias,
		float *line)) {
	bn_back_finish(partial, splits, channels, rows, kept, dweight, dbias, line);
}
KERNEL(decide,
	(const float *norm, State *state, Result *result, double clip_norm, double beta1, double beta2, Loss loss)) {
	decide_(norm, state, result, clip_norm, beta1, beta2, loss);
}
#define UPDATE(rule) \
	KERNEL_RESIDENT(6, update_##rule, \
		(const Settings *settings, const State *state, const Entry *entries, const Chunk *chunks, Rule r, \
			Gradients gradients)) { \
		update<rule>(settings, state, entries, chunks, r, gradients); \
	}
UPDATE(rmsprop)
UPDATE(sgd)
UPDATE(adamw)
KERNEL(lower_weights, (const Entry *entries, const Chunk *chunks, Rule r)) {
	lower_all(entries, chunks, r);
}
