// Kernels for NVIDIA's processors, compiled at run time for the one that is there. Images are [rows, channels], a row
// being a pixel of the batch. A thread works on N neighbouring channels: 16 bytes where the channels allow it, else
// one. The arithmetic is fused.cpp's and optimizer.cpp's.

using namespace synshard::gpu;

#define INLINE __device__ __forceinline__

struct F32 {
	typedef unsigned int Store;
	static INLINE float get(unsigned int u) { return __uint_as_float(u); }
	static INLINE unsigned int put(float v) { return __float_as_uint(v); }
};

struct BF16 {
	typedef unsigned short Store;
	static INLINE float get(unsigned int u) { return __uint_as_float(u << 16); }
	static INLINE unsigned int put(float v) { // to the nearest, ties to even; NaN stays NaN
		unsigned int u = __float_as_uint(v);
		return (u & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (u + 0x7fff + ((u >> 16) & 1)) >> 16;
	}
};

struct F16 {
	typedef unsigned short Store;
	static INLINE float get(unsigned int u) { return half_to_float((unsigned short)u); }
	static INLINE unsigned int put(float v) { return float_to_half(v); }
};

struct alignas(16) Pack {
	unsigned int word[4];
};

template <class T, int N> INLINE void load(const void *from, long long i, float (&v)[N]) {
	if (N == 1) {
		v[0] = T::get(static_cast<const typename T::Store *>(from)[i]);
		return;
	}
	constexpr int per_word = 4 / sizeof(typename T::Store);
	constexpr unsigned int mask = per_word == 1 ? 0xffffffffu : 0xffffu;
	Pack p = static_cast<const Pack *>(from)[i];
#pragma unroll
	for (int k = 0; k < N; k++)
		v[k] = T::get((p.word[k / per_word] >> (16 * (k % per_word))) & mask);
}

template <class T, int N> INLINE void store(void *to, long long i, const float (&v)[N]) {
	if (N == 1) {
		static_cast<typename T::Store *>(to)[i] = (typename T::Store)T::put(v[0]);
		return;
	}
	constexpr int per_word = 4 / sizeof(typename T::Store);
	Pack p = {{0, 0, 0, 0}};
#pragma unroll
	for (int k = 0; k < N; k++)
		p.word[k / per_word] |= T::put(v[k]) << (16 * (k % per_word));
	static_cast<Pack *>(to)[i] = p;
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

// Sums of x - x[0] and its square: near the mean, against cancellation.
template <class T, int N> INLINE void bn_sums(const void *x, long long rows, int groups, float *partial) {
	int group = blockIdx.x * blockDim.x + threadIdx.x;
	float s[N] = {}, q[N] = {}, shift[N], v[N];
	if (group < groups) {
		load<T, N>(x, group, shift);
#pragma unroll 4
		for (long long r = (long long)blockIdx.y * blockDim.y + threadIdx.y; r < rows;
			r += (long long)gridDim.y * blockDim.y) {
			load<T, N>(x, r * groups + group, v);
#pragma unroll
			for (int k = 0; k < N; k++) {
				float d = v[k] - shift[k];
				s[k] += d;
				q[k] += d * d;
			}
		}
	}
	block_sums<N>(s, q, groups, partial);
}

// Sums of g and g (x - mean), where g is dy let through by the ReLU. dy's pixels are ld groups apart.
template <class T, int N>
INLINE void bn_back_sums(
	const void *x, const void *dy, long long ld, const float *kept, long long rows, int groups, float *partial) {
	int group = blockIdx.x * blockDim.x + threadIdx.x, channels = groups * N;
	float s[N] = {}, q[N] = {};
	if (group < groups) {
		float mean[N], a[N], b[N], v[N], g[N];
		take<N>(kept, group, mean);
		take<N>(kept + 2 * channels, group, a);
		take<N>(kept + 3 * channels, group, b);
#pragma unroll 2
		for (long long r = (long long)blockIdx.y * blockDim.y + threadIdx.y; r < rows;
			r += (long long)gridDim.y * blockDim.y) {
			load<T, N>(x, r * groups + group, v);
			load<T, N>(dy, r * ld + group, g);
#pragma unroll
			for (int k = 0; k < N; k++) {
				float through = v[k] * a[k] + b[k] > 0 ? g[k] : 0;
				s[k] += through;
				q[k] += through * (v[k] - mean[k]);
			}
		}
	}
	block_sums<N>(s, q, groups, partial);
}

// column_sums adds the splits' sums of a channel up, in blocks of 32 by 8 threads; true in the thread that has them.
INLINE bool column_sums(const float *partial, int splits, int channels, int c, double &s, double &q) {
	__shared__ double shared[2][8][32];
	s = q = 0;
	if (c < channels)
		for (int p = threadIdx.y; p < splits; p += 8) {
			s += partial[(long long)p * 2 * channels + c];
			q += partial[((long long)p * 2 + 1) * channels + c];
		}
	shared[0][threadIdx.y][threadIdx.x] = s;
	shared[1][threadIdx.y][threadIdx.x] = q;
	__syncthreads();
	if (threadIdx.y != 0 || c >= channels)
		return false;
	for (int y = 1; y < 8; y++) {
		s += shared[0][y][threadIdx.x];
		q += shared[1][y][threadIdx.x];
	}
	return true;
}

// kept is [4, channels]: mean, 1/deviation, and a and b of y = a x + b.
template <class T>
INLINE void bn_finish(const void *x, const float *partial, int splits, int channels, double rows, const float *weight,
	const float *bias, float *running_mean, float *running_var, double momentum, double eps, float *kept) {
	int c = blockIdx.x * 32 + threadIdx.x;
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
	int c = blockIdx.x * 32 + threadIdx.x;
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

template <class T, int N> INLINE void bn_apply(const void *x, const float *kept, long long rows, int groups, void *y) {
	int group = blockIdx.x * blockDim.x + threadIdx.x, channels = groups * N;
	if (group >= groups)
		return;
	float a[N], b[N], v[N];
	take<N>(kept + 2 * channels, group, a);
	take<N>(kept + 3 * channels, group, b);
#pragma unroll 4
	for (long long r = (long long)blockIdx.y * blockDim.y + threadIdx.y; r < rows;
		r += (long long)gridDim.y * blockDim.y) {
		load<T, N>(x, r * groups + group, v);
#pragma unroll
		for (int k = 0; k < N; k++) {
			float u = v[k] * a[k] + b[k];
			v[k] = u < 0 ? 0 : u;
		}
		store<T, N>(y, r * groups + group, v);
	}
}

template <class T, int N>
INLINE void bn_back_apply(const void *x, const void *dy, long long ld, const float *kept, const float *line,
	long long rows, int groups, void *dx) {
	int group = blockIdx.x * blockDim.x + threadIdx.x, channels = groups * N;
	if (group >= groups)
		return;
	float a[N], b[N], slope[N], offset[N], v[N], g[N];
	take<N>(kept + 2 * channels, group, a);
	take<N>(kept + 3 * channels, group, b);
	take<N>(line, group, slope);
	take<N>(line + channels, group, offset);
#pragma unroll 2
	for (long long r = (long long)blockIdx.y * blockDim.y + threadIdx.y; r < rows;
		r += (long long)gridDim.y * blockDim.y) {
		load<T, N>(x, r * groups + group, v);
		load<T, N>(dy, r * ld + group, g);
#pragma unroll
		for (int k = 0; k < N; k++) {
			float through = v[k] * a[k] + b[k] > 0 ? g[k] : 0;
			v[k] = a[k] * through + slope[k] * v[k] + offset[k];
		}
		store<T, N>(dx, r * groups + group, v);
	}
}

// A mask of 0 and 1/(1-p): network.cpp's, a function of seed, node and place alone.
template <class T> INLINE void dropout(const Settings *settings, int node, float p, long long n, void *mask) {
	for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n;
		i += (long long)gridDim.x * blockDim.x) {
		float v[1] = {dropout_at(settings->seed, node, i, p)};
		store<T, 1>(mask, i, v);
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

enum { rmsprop, sgd, adamw };

// A block updates one chunk of one tensor: slots, value and average in one pass over memory.
template <int rule>
INLINE void update(const Settings *settings, const State *state, const Entry *entries, const Chunk *chunks,
	const Rule &r, const Gradients &gradients) {
	if (!state->apply)
		return;
	Chunk chunk = chunks[blockIdx.x];
	Entry t = entries[chunk.entry];
	const float *gradient = t.gradient < 0 ? nullptr : gradients.of[t.gradient];
	const float lr = settings->lr, keep = 1 - settings->ema_decay, factor = state->factor;
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
		}
		if (t.ema) {
			float e = t.ema[i];
			t.ema[i] = e + keep * (p - e);
		}
	}
}

#define OF_TYPE(T, t, N, n) \
	KERNEL(bn_sums_##t##n, (const void *x, long long rows, int groups, float *partial)) { \
		bn_sums<T, N>(x, rows, groups, partial); \
	} \
	KERNEL(bn_apply_##t##n, \
		(const void *__restrict__ x, const float *__restrict__ kept, long long rows, int groups, \
			void *__restrict__ y)) { \
		bn_apply<T, N>(x, kept, rows, groups, y); \
	} \
	KERNEL(bn_back_sums_##t##n, \
		(const void *x, const void *dy, long long ld, const float *kept, long long rows, int groups, \
			float *partial)) { \
		bn_back_sums<T, N>(x, dy, ld, kept, rows, groups, partial); \
	} \
	KERNEL(bn_back_apply_##t##n, \
		(const void *__restrict__ x, const void *__restrict__ dy, long long ld, \
			const float *__restrict__ kept, const float *__restrict__ line, long long rows, int groups, \
			void *__restrict__ dx)) { \
		bn_back_apply<T, N>(x, dy, ld, kept, line, rows, groups, dx); \
	}
OF_TYPE(F32, f32, 4, _wide)
OF_TYPE(F32, f32, 1, )
OF_TYPE(BF16, bf16, 8, _wide)
OF_TYPE(BF16, bf16, 1, )
OF_TYPE(F16, f16, 8, _wide)
OF_TYPE(F16, f16, 1, )

#define EACH_TYPE(T, t) \
	KERNEL(bn_finish_##t, \
		(const void *x, const float *partial, int splits, int channels, double rows, const float *weight, \
			const float *bias, float *running_mean, float *running_var, double momentum, double eps, \
			float *kept)) { \
		bn_finish<T>(x, partial, splits, channels, rows, weight, bias, running_mean, running_var, momentum, \
			eps, kept); \
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
	KERNEL(update_##rule, \
		(const Settings *settings, const State *state, const Entry *entries, const Chunk *chunks, Rule r, \
			Gradients gradients)) { \
		update<rule>(settings, state, entries, chunks, r, gradients); \
	}
UPDATE(rmsprop)
UPDATE(sgd)
UPDATE(adamw)
