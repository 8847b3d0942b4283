// CUDA's runtime headers ask for this file, which PyTorch's wheels come without: they bring the runtime's, and this is
// of the compiler's package. It checks nvcc's host compiler; there is none here.
#pragma once
