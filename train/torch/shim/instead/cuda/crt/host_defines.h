// The words of CUDA C++ that the runtime's headers use, for a compiler that is not nvcc. Like host_config.h beside it
// this stands in for a file that PyTorch's wheels come without.
#pragma once

#define __no_return__ __attribute__((noreturn))
#define __forceinline__ __inline__ __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))
#define __thread__ __thread
#define __host__
#define __device__
#define __global__
#define __shared__
#define __constant__
#define __managed__
#define __annotate__(a)
#define __location__(a)
#define __builtin_align__(n) __align__(n)
#define __device_builtin__
#define __device_builtin_texture_type__
#define __device_builtin_surface_type__
#define __cudart_builtin__
#define CUDARTAPI
#define CUDARTAPI_CDECL
