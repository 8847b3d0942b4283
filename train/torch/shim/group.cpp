// Several processes that train one network: gradients summed by libtorch's process groups (c10d), Gloo between CPUs,
// NCCL between GPUs, in buckets whose sums travel while the backward pass goes on.
#define USE_C10D_GLOO
#include "engine.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef SYNSHARD_NCCL
#define USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include <chrono>

namespace synshard {

namespace {

// Bytes of gradients summed at a time: enough that a message's cost is in its bytes, little enough that the first
// leaves early.
constexpr int64_t bucket_bytes = 8 << 20;

struct Bucket {
	std::vector<int> params;
	std::vector<int64_t> offset;
	at::Tensor flat;
	size_t ready = 0;
	c10::intrusive_ptr<c10d::Work> work;
};

struct Hook : torch::autograd::FunctionPostHook {
	explicit Hook(std::function<void()> f) : f(std::move(f)) {}
	torch::autograd::variable_list operator()(const torch::autograd::variable_list &outputs, const torch::autograd::variable_list &) override {
		f();
		return outputs;
	}
	std::function<void()> f;
};

c10::intrusive_ptr<c10d::Backend> connect(const ss_config &c, const at::Device &device) {
	c10d::TCPStoreOptions options;
	options.port = static_cast<uint16_t>(c.master_port), options.isServer = c.rank == 0, options.numWorkers = c.world;
	options.timeout = std::chrono::milliseconds(static_cast<int64_t>(c.timeout_s * 1000));
	c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::TCPStore>(c.master_addr, options);
	store = c10::make_intrusive<c10d::PrefixStore>("synshard", store);
	if (device.is_cuda()) {
#ifdef SYNSHARD_NCCL
		auto o = c10d::ProcessGroupNCCL::Options::create();
		o->timeout = options.timeout;
		return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, c.rank, c.world, o);
#else
		throw no_device("this engine was built without NCCL's headers, which several GPUs need; build it again where they are (scripts/build-shim.sh)");
#endif
	}
	auto o = c10d::ProcessGroupGloo::Options::create(options.timeout);
	o->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(c.rank == 0 || !c.host || !*c.host ? c.master_addr : c.host));
	o->threads = 2;
	return c10::make_intrusive<c10d::ProcessGroupGloo>(store, c.rank, c.world, o);
}

} // namespace

struct Group::State {
	c10::intrusive_ptr<c10d::Backend> backend;
	at::Device device{at::kCPU};
	std::vector<Bucket> buckets;
	size_t next = 0; // the first bucket not sent: all ranks send in this order
	bool active = false;
	at::Tensor stats; // running statistics, flat
	c10::intrusive_ptr<c10d::Work> stats_work;
	std::vector<std::shared_ptr<torch::autograd::Node>> accumulators;
	int world = 1;

	c10::intrusive_ptr<c10d::Work> sum(at::Tensor &t) {
		std::vector<at::Tensor> list{t};
		return backend->allreduce(list);
	}

	void send(Network &n, Bucket &b) {
		at::NoGradGuard none;
		for (size_t i = 0; i < b.params.size(); i++) {
			Param &p = n.params[b.params[i]];
			auto view = at::as_strided(b.flat, p.value.sizes(), p.value.strides(), b.offset[i]);
			if (p.value.grad().defined()) view.copy_(p.value.grad());
			else view.zero_();
			p.value.mutable_grad() = view;
		}
		b.work = sum(b.flat);
	}

	void arrived(Network &n, size_t bucket) {
		if (!active) return;
		buckets[bucket].ready++;
		while (next < buckets.size() && buckets[next].ready == buckets[next].params.size()) send(n, buckets[next++]);
	}
};

Group::Group(const ss_config &c, const Config &config, Network &network) : state(std::make_unique<State>()) {
	if (c.rank < 0 || c.rank >= c.world || !c.master_addr || !*c.master_addr || c.master_port < 1 || c.master_port > 65535 || !(c.timeout_s > 0))
		throw bad_argument("rank " + std::to_string(c.rank) + " of " + std::to_string(c.world) + " processes: a rank, an address, a port or a time limit is out of range");
	State &s = *state;
	s.device = config.device, s.world = c.world;
	try {
		s.backend = connect(c, config.device);
	} catch (const no_device &) {
		throw;
	} catch (const std::exception &e) {
		throw lost_peer(std::string("meeting at ") + c.master_addr + ":" + std::to_string(c.master_port) + ": " + e.what());
	}
	int64_t stats = 0, filled = 0;
	for (int i = static_cast<int>(network.params.size()) - 1; i >= 0; i--) { // the backward pass's order
		Param &p = network.params[i];
		if (!p.trained()) {
			stats += p.value.numel();
			continue;
		}
		if (s.buckets.empty() || filled * 4 >= bucket_bytes) s.buckets.emplace_back(), filled = 0;
		Bucket &b = s.buckets.back();
		b.params.push_back(i), b.offset.push_back(filled);
		filled += p.value.numel();
		size_t index = s.buckets.size() - 1;
		auto accumulator = torch::autograd::impl::grad_accumulator(p.value);
		accumulator->add_post_hook(std::make_unique<Hook>([state = state.get(), &network, index] { state->arrived(network, index); }));
		s.accumulators.push_back(accumulator); // a parameter holds its accumulator weakly
	}
	for (Bucket &b : s.buckets) {
		int64_t n = 0;
		for (int i : b.params) n += network.params[i].value.numel();
		b.flat = at::zeros({n}, at::TensorOptions().dtype(at::kFloat).device(config.device));
	}
	s.stats = at::zeros({stats}, at::TensorOptions().dtype(at::kFloat).device(config.device));
}

Group::~Group() = default;

void Group::begin(Network &network, bool share_stats) {
	State &s = *state;
	s.active = true, s.next = 0;
	for (Bucket &b : s.buckets) b.ready = 0, b.work.reset();
	s.stats_work.reset();
	if (!share_stats || s.stats.numel() == 0) return;
	at::NoGradGuard none;
	int64_t at = 0;
	for (Param &p : network.params)
		if (!p.trained()) s.stats.narrow(0, at, p.value.numel()).copy_(p.value), at += p.value.numel();
	s.stats_work = s.sum(s.stats);
}

double Group::finish(Network &network) {
	State &s = *state;
	s.active = false;
	at::NoGradGuard none;
	auto began = std::chrono::steady_clock::now();
	try {
		for (; s.next < s.buckets.size(); s.next++) s.send(network, s.buckets[s.next]); // parameters out of this graph
		for (Bucket &b : s.buckets) b.work->wait(), b.work.reset();
		if (s.stats_work) {
			s.stats_work->wait(), s.stats_work.reset();
			s.stats.div_(s.world);
			int64_t at = 0;
			for (Param &p : network.params)
				if (!p.trained()) p.value.copy_(s.stats.narrow(0, at, p.value.numel())), at += p.value.numel();
		}
	} catch (const c10::Error &e) {
		throw lost_peer(e.what_without_backtrace());
	} catch (const std::exception &e) {
		throw lost_peer(e.what());
	}
	return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

void Group::abandon() { state->active = false; }

void Group::sum(double *values, int64_t n) {
	at::NoGradGuard none;
	try {
		auto host = at::from_blob(values, {n}, at::kDouble);
		auto t = host.to(state->device, false, true);
		state->sum(t)->wait();
		host.copy_(t);
	} catch (const c10::Error &e) {
		throw lost_peer(e.what_without_backtrace());
	} catch (const std::exception &e) {
		throw lost_peer(e.what());
	}
}

} // namespace synshard
