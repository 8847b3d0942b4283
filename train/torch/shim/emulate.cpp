// Kernels run by this processor, a block at a time, its threads taking turns between barriers. For tests: with it the
// GPU's path through a step runs, slowly, where there is no GPU. Part of libraries built with --emulate only.
#ifdef SYNSHARD_EMULATED
#include "gpu.h"

#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>

namespace {

struct Index {
	unsigned x, y, z;
} threadIdx, blockIdx, blockDim, gridDim;

std::mutex running;
jmp_buf scheduler;
jmp_buf *current; // thread's; null: a kernel without barriers

void __syncthreads() {
	if (!current)
		throw std::logic_error("a barrier in a kernel that is not known to have one");
	if (!_setjmp(*current))
		_longjmp(scheduler, 1);
}
float __uint_as_float(unsigned int u) {
	float f;
	std::memcpy(&f, &u, 4);
	return f;
}
unsigned int __float_as_uint(float f) {
	unsigned int u;
	std::memcpy(&u, &f, 4);
	return u;
}
float half_to_float(unsigned short h) {
	return static_cast<float>(c10::Half(h, c10::Half::from_bits()));
}
unsigned short float_to_half(float f) {
	return c10::Half(f).x;
}

struct Emulated {
	std::function<void(void **)> call;
	std::vector<const std::type_info *> types;
};
std::map<std::string, Emulated> &known() {
	static std::map<std::string, Emulated> t;
	return t;
}
template <class... A, size_t... I> void add(const char *name, void (*f)(A...), std::index_sequence<I...>) {
	known()[name] = {[f](void **args) { f(*static_cast<A *>(args[I])...); }, {&typeid(A)...}};
}
struct Register {
	template <class... A> Register(const char *name, void (*f)(A...)) {
		add(name, f, std::index_sequence_for<A...>());
	}
};

#define __device__
#define __forceinline__ inline
#define __shared__ static
#define KERNEL(name, args) \
	void name args; \
	const Register name##_known(#name, name); \
	void name args
#define KERNEL_RESIDENT(blocks, name, args) KERNEL(name, args)
using std::pow, std::sqrt;
#pragma push_macro("INLINE") // rows.h's, if it was read
#undef INLINE
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "kernels.cu"
#pragma GCC diagnostic pop
#pragma pop_macro("INLINE")

// One thread of a block, with a stack of its own, that runs a body whenever it is told to. Contexts are changed by
// longjmp, which asks nothing of the system; swapcontext only enters a new stack.
struct Fiber {
	ucontext_t context;
	jmp_buf place;
	std::vector<char> stack = std::vector<char>(64 << 10);
	Index index;
	bool entered = false, done = true;
};
std::deque<Fiber> fibers;
const std::function<void()> *body;

void live(int i) {
	Fiber &f = fibers[i];
	for (;;) {
		(*body)();
		f.done = true;
		if (!_setjmp(f.place))
			_longjmp(scheduler, 1);
	}
}

void resume(int i) {
	Fiber &f = fibers[i];
	current = &f.place;
	threadIdx = f.index;
	if (_setjmp(scheduler))
		return;
	if (f.entered)
		_longjmp(f.place, 1);
	f.entered = true;
	getcontext(&f.context);
	f.context.uc_stack.ss_sp = f.stack.data();
	f.context.uc_stack.ss_size = f.stack.size();
	f.context.uc_link = nullptr;
	makecontext(&f.context, reinterpret_cast<void (*)()>(live), 1, i);
	setcontext(&f.context);
}

void run_block(unsigned threads) {
	while (fibers.size() < threads)
		fibers.emplace_back();
	for (unsigned i = 0; i < threads; i++) {
		fibers[i].index = {i % blockDim.x, i / blockDim.x, 0};
		fibers[i].done = false;
	}
	for (bool left = true; left;) {
		left = false;
		for (unsigned i = 0; i < threads; i++)
			if (!fibers[i].done) {
				resume(i);
				left |= !fibers[i].done;
			}
	}
}

struct Emulator : synshard::gpu::Kernels {
	Emulator() { multiprocessors = 2; }
	int resident(const std::string &, unsigned) const override { return 4; }
	void run(const std::string &name, Extent grid, Extent block, void **args, const std::type_info **types,
		size_t n) const override {
		auto it = known().find(name);
		if (it == known().end())
			throw std::logic_error("no kernel is named " + name);
		bool same = n == it->second.types.size();
		for (size_t i = 0; same && i < n; i++)
			same = *types[i] == *it->second.types[i];
		if (!same)
			throw std::logic_error("kernel " + name + " was launched with arguments of other types");
		if (block.x * block.y > block_threads || block.x * block.y == 0 || grid.x * grid.y == 0)
			throw std::logic_error("kernel " + name + ": size of block or grid");
		std::lock_guard<std::mutex> lock(running);
		std::function<void()> call = [&] { it->second.call(args); };
		bool barriers = name.find("_sums_") != name.npos || name.find("_finish_") != name.npos;
		body = &call;
		gridDim = {grid.x, grid.y, 1};
		blockDim = {block.x, block.y, 1};
		for (unsigned y = 0; y < grid.y; y++)
			for (unsigned x = 0; x < grid.x; x++) {
				blockIdx = {x, y, 0};
				current = nullptr;
				if (barriers)
					run_block(block.x * block.y);
				else
					for (threadIdx = {0, 0, 0}; threadIdx.y < block.y; threadIdx.y++)
						for (threadIdx.x = 0; threadIdx.x < block.x; threadIdx.x++)
							call();
			}
	}
	using Extent = synshard::gpu::Extent;
};

} // namespace

namespace synshard {
namespace gpu {

const Kernels *Kernels::find(const at::Device &, std::string &) {
	static Emulator e;
	return &e;
}

void Kernels::open_compiler() noexcept {
}

int Kernels::capability(const at::Device &) {
	throw no_device("kernels are emulated in this build");
}

void Kernels::compile_for(int) {
	throw no_device("kernels are emulated in this build");
}

namespace {

// HostMemory has CUDA's contract for pinned memory: a piece is known by a record that is not its address, and there is
// no deleter of addresses.
struct HostMemory final : c10::Allocator {
	struct Record {
		std::unique_ptr<char[]> bytes;
	};
	c10::DataPtr allocate(size_t n) override {
		auto record = new Record{std::make_unique<char[]>(n)};
		return {record->bytes.get(), record, [](void *r) { delete static_cast<Record *>(r); },
			at::Device(at::kCPU)};
	}
	void copy_data(void *to, const void *from, size_t n) const override { default_copy_data(to, from, n); }
};

} // namespace

c10::Allocator &pinned_allocator() {
	static HostMemory memory;
	return memory;
}

} // namespace gpu
} // namespace synshard
#endif
