// Images with the channels innermost as the processor's passes see them: rows of pixels, in float32 or bfloat16,
// compiled for each generation of processors.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
	!defined(__SANITIZE_ADDRESS__) // whose start-up comes after the choice of a clone
#define WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WIDE
#endif
#define INLINE inline __attribute__((always_inline))

namespace synshard {

using bf16 = uint16_t;
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

// row_stride gives the distance of neighbouring pixels where pixels lie evenly with channels innermost, else 0: what is
// a slice of a wider tensor is read and written where it lies.
inline int64_t row_stride(const at::Tensor &t) {
	int64_t ld = t.size(3) > 1 ? t.stride(3)
		: t.size(2) > 1    ? t.stride(2)
		: t.size(0) > 1    ? t.stride(0)
				   : t.size(1);
	bool even = (t.size(1) == 1 || t.stride(1) == 1) && ld >= t.size(1) &&
		(t.size(2) == 1 || t.stride(2) == ld * t.size(3)) &&
		(t.size(0) == 1 || t.stride(0) == ld * t.size(3) * t.size(2));
	return even ? ld : 0;
}

// even says whether every pixel begins where 16 bytes may be taken at a time.
inline bool even(const at::Tensor &t) {
	return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0 && row_stride(t) * t.element_size() % 16 == 0;
}

} // namespace synshard
