// The GPU's own path through a step: kernels.cu's kernels, launched; a step that is queued and never waited for.
#pragma once

#include "engine.h"
#include "kernels.h"

#include <c10/core/Allocator.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <deque>
#include <typeinfo>

namespace synshard {
namespace gpu {

// pinned_allocator is CUDA's, of host memory. Throws no_device without CUDA.
c10::Allocator &pinned_allocator();

struct Extent {
	unsigned x = 1, y = 1;
};

// Kernels are kernels.cu's, compiled for one device. Launches go to its current stream.
class Kernels {
public:
	// find gives a device's kernels, compiled on first use. Null where they cannot be had, with the reason in why.
	static const Kernels *find(const at::Device &, std::string &why);
	// open_compiler opens CUDA's run-time compiler with all that it looks for. cuDNN compiles some of its kernels
	// with it too, and does not find it in PyTorch's wheels by itself; so this is done whether or not our own
	// kernels are wanted. What cannot be opened is not there.
	static void open_compiler() noexcept;
	// capability is a card's compute capability: 75 for 7.5.
	static int capability(const at::Device &);
	// compile_for tries the compiler, which needs no device. Throws what it says.
	static void compile_for(int capability);
	virtual ~Kernels() = default;
	// Arguments have the very types of the kernel's parameters.
	template <class... A> void launch(const std::string &name, Extent grid, Extent block, A... args) const {
		void *list[] = {static_cast<void *>(&args)...};
		const std::type_info *types[] = {&typeid(A)...};
		run(name, grid, block, list, types, sizeof...(A));
	}
	// resident gives how many blocks of so many threads a multiprocessor has room for.
	virtual int resident(const std::string &name, unsigned threads) const = 0;
	int multiprocessors = 1;

private:
	virtual void run(const std::string &name, Extent grid, Extent block, void **args, const std::type_info **types,
		size_t n) const = 0;
};

// type_name is that of a tensor's type in the names of kernels.
inline const char *type_name(const at::Tensor &t) {
	switch (t.scalar_type()) {
	case at::kFloat:
		return "f32";
	case at::kBFloat16:
		return "bf16";
	case at::kHalf:
		return "f16";
	default:
		throw std::logic_error("no kernels for this type");
	}
}

// Update makes the optimiser's step in one launch for all parameters, and keeps the weights that convolutions and
// linear layers read in the network's precision.
class Update {
public:
	Update(const Config &, Network &);
	void changed() { stale = true; } // weights were set, by others
	void lower();                    // before a step: what was set, in the network's precision
	// All three point to the device. Nothing is waited for.
	void run(const Network &, const Settings *, State *, Result *) const;

private:
	struct Part {                    // of the network, as large as one launch's arguments allow
		std::vector<int> params; // with gradients
		at::Tensor chunks;
		unsigned blocks = 0;
	};
	const Config &config;
	at::Tensor entries;
	std::vector<Part> parts;
	bool stale = true;
};

// Graph is a recorded sequence of launches. Its memory stays its own.
class Graph {
public:
	static bool possible(const at::Device &); // in this build, on this device
	Graph();
	~Graph();
	void record(const std::function<void()> &);
	void replay();
	// between_recordings runs f, on any thread, while none is made: pinned memory that is freed meanwhile is marked
	// as read by the stream that records, and the recording would hold the mark.
	static void between_recordings(const std::function<void()> &f);

private:
	struct State;
	std::unique_ptr<State> state;
};

// as gives a tensor's memory as what lies there.
template <class T> T *as(const at::Tensor &t) {
	return static_cast<T *>(t.mutable_data_ptr());
}

// Upload brings images to one place on the device, from where recorded work reads them: by way of two others, on a
// stream of its own, so that the copy of a batch overlaps the work on the one before.
class Upload {
public:
	explicit Upload(const at::Device &);
	bool holds(int64_t rows, int64_t side) const {
		return bytes.defined() && bytes.size(0) == rows && bytes.size(1) == side;
	}
	void make_room(int64_t rows, int64_t side); // elsewhere, or an error: what reads bytes must have been forgotten
	void bring(const ss_batch &);               // returns when the batch's memory is free again
	at::Tensor bytes;                           // [rows, side, side, 3]

private:
	at::Device device;
	at::Tensor staging[2];
	std::unique_ptr<c10::Event> staged[2]; // staging was read
	std::unique_ptr<c10::Stream> copies;   // none: there is no GPU
	int turn = 0;
};

// Queue holds the steps under way. Images go up on a stream of their own; a step of fixed shapes is recorded once and
// replayed; what it found is read when it is asked for.
class Queue {
public:
	Queue(ss_engine &);
	~Queue();                                                 // waits for the steps added
	void add(ss_engine &, const ss_batch &, const ss_step &); // returns when the batch's memory is free again
	void collect(ss_engine &, ss_metrics &);                  // of the oldest microbatch added
	void drop(); // the newest microbatches, up to the last that ended a step: nobody collects them
	// forget gives the recording's memory back; false if there is none. The next steps are run one by one, then
	// recorded again.
	bool forget();
	State state() const; // waits for the steps added
	void set_state(const State &);
	void weights_set() { update->changed(); }
	std::string note; // how steps are run

private:
	struct Pending {
		at::Tensor result; // in pinned memory
		std::unique_ptr<c10::Event> done;
		ss_metrics metrics;
		bool update; // it ends a step
	};
	struct Recorded {
		int32_t rows = 0, size = 0, mixed = 0, freeze_bn = 0, seen = 0; // steps in a row of this shape
		std::unique_ptr<Graph> graph;
	};
	void upload(ss_engine &, const ss_batch &, const ss_step &);
	void compute(ss_engine &, const ss_step &, int64_t counted);
	bool run_recorded(ss_engine &, const ss_batch &, const ss_step &, int64_t counted);
	at::Tensor host(size_t bytes) const;

	const Config &config;
	std::unique_ptr<Update> update;
	Upload images;
	Labels labels;
	at::Tensor settings, kept, result; // on the device; kept is the State
	Recorded recorded;
	bool can_record = false;
	std::deque<Pending> pending;
};

} // namespace gpu
} // namespace synshard
