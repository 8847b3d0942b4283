// Host memory that is kept for the next step. A step frees and takes the same gigabytes again and again; given back to
// the system in between, every page of them would be faulted in and cleared anew.
#include "engine.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>

namespace synshard {

namespace {

constexpr size_t alignment = 64, huge_page = 2 << 20;
#ifdef __SANITIZE_ADDRESS__
constexpr size_t kept_from = ~size_t(0); // what is kept would hide its use after it was freed
#else
constexpr size_t kept_from = 1 << 16;
#endif

// block is what stands before each piece of memory handed out.
struct alignas(alignment) block {
	size_t size; // with this header; 0 marks memory of malloc's
	size_t asked;
};

// class_of rounds a size up to an eighth of its power of two, so that blocks fit again.
size_t class_of(size_t n) {
	size_t step = size_t(1) << (60 - __builtin_clzll(n | 1));
	step = std::max(step, size_t(4096));
	return (n + step - 1) / step * step;
}

class Keeper final : public c10::Allocator {
public:
	c10::DataPtr allocate(size_t n) override {
		void *p = n == 0 ? nullptr : take(n);
		return {p, p, &give_back, at::Device(at::kCPU)};
	}
	c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
	void copy_data(void *to, const void *from, size_t n) const override { default_copy_data(to, from, n); }

	void *take(size_t n) {
		if (n < kept_from) {
			block *b = static_cast<block *>(std::aligned_alloc(
				alignment, (n + sizeof(block) + alignment - 1) / alignment * alignment));
			if (!b)
				throw std::bad_alloc();
			b->size = 0;
			b->asked = n;
			return b + 1;
		}
		size_t size = class_of(n + sizeof(block));
		std::lock_guard<std::mutex> hold(mutex);
		block *b = nullptr;
		// The smallest free block that wastes an eighth at most.
		auto it = free_.lower_bound(size);
		if (it != free_.end() && it->first <= size + size / 8) {
			b = it->second;
			size = it->first;
			kept -= size;
			free_.erase(it);
		} else {
			b = map(size);
			if (!b) {
				release_all();
				b = map(size);
			}
			if (!b)
				throw std::bad_alloc();
		}
		b->size = size;
		b->asked = n;
		now += static_cast<int64_t>(size);
		peak = std::max(peak, now);
		return b + 1;
	}

	void put(void *p) {
		block *b = static_cast<block *>(p) - 1;
		if (b->size == 0) {
			std::free(b);
			return;
		}
		std::lock_guard<std::mutex> hold(mutex);
		now -= static_cast<int64_t>(b->size);
		kept += b->size;
		free_.emplace(b->size, b);
	}

	void release() {
		std::lock_guard<std::mutex> hold(mutex);
		release_all();
	}

	void count_anew() {
		std::lock_guard<std::mutex> hold(mutex);
		peak = now;
	}

	void count(int64_t *in_use, int64_t *most) {
		std::lock_guard<std::mutex> hold(mutex);
		*in_use = now;
		*most = peak;
	}

private:
	static void give_back(void *);
	static block *map(size_t size) {
		void *p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return nullptr;
		if (size >= 2 * huge_page)
			madvise(p, size, MADV_HUGEPAGE); // a hint: fewer faults, fewer TLB misses
		return static_cast<block *>(p);
	}
	void release_all() {
		for (auto &[size, b] : free_)
			munmap(b, size);
		free_.clear();
		kept = 0;
	}

	std::mutex mutex;
	std::multimap<size_t, block *> free_;
	size_t kept = 0;
	int64_t now = 0, peak = 0;
};

// libtorch has one host allocator a process, and tensors may outlive any engine; so this is never destroyed.
Keeper &keeper() {
	static Keeper *k = new Keeper;
	return *k;
}

void Keeper::give_back(void *p) {
	if (p)
		keeper().put(p);
}

} // namespace

void keep_host_memory() {
	c10::SetCPUAllocator(&keeper(), 1);
	keeper().count_anew();
}
void release_host_memory() {
	keeper().release();
}
void count_host_memory_anew() {
	keeper().count_anew();
}
void host_memory(int64_t *now, int64_t *peak) {
	keeper().count(now, peak);
}

} // namespace synshard
