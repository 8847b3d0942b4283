// Several processes that train one network: gradients summed by libtorch's process groups (c10d), Gloo between CPUs,
// NCCL between GPUs, in buckets whose sums travel while the backward pass goes on.
#define USE_C10D_GLOO
#include "engine.h"
#include "store.h"

#include <ATen/DeviceAccelerator.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#ifdef SYNSHARD_NCCL
#define USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

namespace synshard {

namespace {

// Bytes of gradients summed at a time: enough that a message's cost is in its bytes, little enough that the first
// leaves early.
constexpr int64_t bucket_bytes = 8 << 20;

using Clock = std::chrono::steady_clock;

// Transfer is one exchange on its way. On the CPU it ends when its callback is run, on a thread of the process group's;
// on a GPU the work itself knows how long it took there.
struct Transfer {
	c10::intrusive_ptr<c10d::Work> work;
	Clock::time_point sent;
	std::shared_ptr<std::atomic<Clock::rep>> ended;
};

struct Bucket {
	std::vector<int> params;
	std::vector<int64_t> offset;
	at::Tensor flat;
	size_t ready = 0;
	Transfer transfer;
};

struct Hook : torch::autograd::FunctionPostHook {
	explicit Hook(std::function<void()> f) : f(std::move(f)) {}
	torch::autograd::variable_list operator()(
		const torch::autograd::variable_list &outputs, const torch::autograd::variable_list &) override {
		f();
		return outputs;
	}
	std::function<void()> f;
};

// How often who waits for an exchange looks: what it adds to a step is little beside it.
constexpr auto look_every = std::chrono::microseconds(50);

// exchanging runs a part of an exchange. What goes wrong there is another process's doing, but that memory runs out.
template <class F> auto exchanging(F f) {
	try {
		return f();
	} catch (const lost_peer &) {
		throw;
	} catch (const std::exception &e) {
		if (out_of_memory(e))
			throw;
		throw lost_peer(first_line(e));
	}
}

c10::intrusive_ptr<c10d::Backend> connect(const ss_config &c, const at::Device &device) {
	auto timeout = std::chrono::milliseconds(static_cast<int64_t>(c.timeout_s * 1000));
	auto store = caller_store(c.store, timeout);
	if (device.is_cuda()) {
#ifdef SYNSHARD_NCCL
		// A process that cannot reach another is to save what it has; by default libtorch's watchdog ends it.
		setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0", 0);
		auto o = c10d::ProcessGroupNCCL::Options::create();
		o->timeout = timeout;
		auto nccl = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, c.rank, c.world, o);
		nccl->enableCollectivesTiming();
		return nccl;
#else
		throw no_device(
			"this engine was built without NCCL's headers, which several GPUs need; build it again where they are (train/torch/shim/build.sh)");
#endif
	}
	auto o = c10d::ProcessGroupGloo::Options::create(timeout);
	o->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(c.host));
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
	at::Tensor stats, figures; // running statistics, flat; what the step found
	Transfer stats_transfer, figures_transfer;
	std::unique_ptr<c10::Event> wait_begins, wait_ends; // on a GPU
	std::vector<std::shared_ptr<torch::autograd::Node>> accumulators;
	int world = 1;
	std::vector<c10::intrusive_ptr<c10d::Work>> sent; // on the CPU: exchanges that may be under way
	std::atomic<bool> called_off{false};
	std::chrono::duration<double> limit; // to an exchange, once it is waited for

	// await returns when an exchange is done, whole. On a GPU work.wait() would only queue: the update behind it
	// would be made of whatever there is when the exchange breaks off or is called off, and Gloo's would wait out
	// its time limit for a process that is there and does not answer.
	void await(c10d::Work &work) {
		auto began = Clock::now();
		exchanging([&] {
			while (!work.isCompleted()) {
				if (called_off)
					break;
				if (Clock::now() - began > limit)
					throw lost_peer("the exchange has not ended in time");
				std::this_thread::sleep_for(look_every);
			}
			if (called_off) // what it has done by then is of any value
				throw lost_peer("the exchange was called off");
			work.wait(); // gives its error, if there is one; on a GPU the stream follows it
		});
	}

	c10::intrusive_ptr<c10d::Work> sum(at::Tensor &t) {
		std::vector<at::Tensor> list{t};
		auto work = exchanging([&] { return backend->allreduce(list); });
		if (device.is_cpu()) {
			auto ended = [](const auto &w) { return w->getFuture()->completed(); };
			sent.erase(std::remove_if(sent.begin(), sent.end(), ended), sent.end());
			sent.push_back(work);
		}
		return work;
	}

	// under_way says whether an exchange has not ended: one that was called off, or one beside which another
	// failed. Gloo may wait out its time limit to send to a process that is gone.
	bool under_way() const {
		return std::any_of(
			sent.begin(), sent.end(), [](const auto &w) { return !w->getFuture()->completed(); });
	}

	Transfer transfer(at::Tensor &t) {
		Transfer x;
		x.sent = Clock::now();
		x.work = sum(t);
		if (device.is_cuda())
			return x;
		x.ended = std::make_shared<std::atomic<Clock::rep>>(0);
		x.work->getFuture()->addCallback(
			[ended = x.ended](c10::ivalue::Future &) { *ended = Clock::now().time_since_epoch().count(); });
		return x;
	}

	void send(Network &n, Bucket &b) {
		at::NoGradGuard none;
		for (size_t i = 0; i < b.params.size(); i++) {
			Param &p = n.params[b.params[i]];
			auto view = at::as_strided(b.flat, p.value.sizes(), p.value.strides(), b.offset[i]);
			if (p.value.grad().defined())
				view.copy_(p.value.grad());
			else
				view.zero_();
			p.value.mutable_grad() = view;
		}
		b.transfer = transfer(b.flat);
	}

	void arrived(Network &n, size_t bucket) {
		if (!active)
			return;
		buckets[bucket].ready++;
		while (next < buckets.size() && buckets[next].ready == buckets[next].params.size())
			send(n, buckets[next++]);
	}
};

Group::Group(const ss_config &c, const Config &config, Network &network) : state(std::make_unique<State>()) {
	if (c.rank < 0 || c.rank >= c.world || !c.host || !*c.host || !c.store.call || !(c.timeout_s > 0))
		throw bad_argument("rank " + std::to_string(c.rank) + " of " + std::to_string(c.world) +
			" processes: a rank, an address, a store or a time limit is missing or out of range");
	State &s = *state;
	s.device = config.device;
	s.world = c.world;
	s.limit = std::chrono::duration<double>(c.timeout_s);
	try {
		s.backend = connect(c, config.device);
	} catch (const no_device &) {
		throw;
	} catch (const std::exception &e) {
		throw lost_peer(std::string("connect the group from ") + c.host + ": " + first_line(e));
	}
	int64_t stats = 0, filled = 0;
	for (int i = static_cast<int>(network.params.size()) - 1; i >= 0; i--) { // the backward pass's order
		Param &p = network.params[i];
		if (!p.trained()) {
			stats += p.follows() ? p.value.numel() : 0;
			continue;
		}
		if (s.buckets.empty() || filled * 4 >= bucket_bytes) {
			s.buckets.emplace_back();
			filled = 0;
		}
		Bucket &b = s.buckets.back();
		b.params.push_back(i);
		b.offset.push_back(filled);
		filled += p.value.numel();
		size_t index = s.buckets.size() - 1;
		auto accumulator = torch::autograd::impl::grad_accumulator(p.value);
		accumulator->add_post_hook(std::make_unique<Hook>(
			[state = state.get(), &network, index] { state->arrived(network, index); }));
		s.accumulators.push_back(accumulator); // a parameter holds its accumulator weakly
	}
	for (Bucket &b : s.buckets) {
		int64_t n = 0;
		for (int i : b.params)
			n += network.params[i].value.numel();
		b.flat = at::zeros({n}, at::TensorOptions().dtype(at::kFloat).device(config.device));
	}
	s.stats = at::zeros({stats}, at::TensorOptions().dtype(at::kFloat).device(config.device));
}

Group::~Group() {
	if (state->device.is_cuda())
		abort();             // else NCCL keeps its memory on the card
	else if (state->under_way()) // Gloo's threads would be waited for
		(void)state->backend.release();
}

void Group::abort() noexcept {
	try {
		state->called_off = true;
		if (state->device.is_cuda())
			state->backend->abort();
	} catch (...) { // whoever waits finds out by the time limit
	}
}

void Group::begin(Network &network, bool share_stats, const at::Tensor &figures) {
	State &s = *state;
	s.active = true;
	s.next = 0;
	for (Bucket &b : s.buckets) {
		b.ready = 0;
		b.transfer = {};
	}
	s.stats_transfer = {};
	s.figures = figures;
	s.figures_transfer = s.transfer(s.figures);
	if (!share_stats || s.stats.numel() == 0)
		return;
	at::NoGradGuard none;
	int64_t at = 0;
	for (Param &p : network.params)
		if (p.follows()) {
			s.stats.narrow(0, at, p.value.numel()).copy_(p.value);
			at += p.value.numel();
		}
	s.stats_transfer = s.transfer(s.stats);
}

double Group::finish(Network &network) {
	State &s = *state;
	s.active = false;
	at::NoGradGuard none;
	auto began = Clock::now();
	if (s.device.is_cuda()) {
		for (auto *e : {&s.wait_begins, &s.wait_ends})
			*e = std::make_unique<c10::Event>(s.device.type(), c10::EventFlag::BACKEND_DEFAULT);
		s.wait_begins->record(at::accelerator::getCurrentStream(s.device.index()));
	}
	for (; s.next < s.buckets.size(); s.next++)
		s.send(network, s.buckets[s.next]); // parameters out of this graph
	for (Bucket &b : s.buckets)
		s.await(*b.transfer.work);
	s.await(*s.figures_transfer.work);
	if (s.stats_transfer.work)
		s.await(*s.stats_transfer.work);
	if (s.wait_ends)
		s.wait_ends->record(at::accelerator::getCurrentStream(s.device.index()));
	if (s.stats_transfer.work) {
		s.stats.div_(s.world);
		int64_t at = 0;
		for (Param &p : network.params)
			if (p.follows()) {
				p.value.copy_(s.stats.narrow(0, at, p.value.numel()));
				at += p.value.numel();
			}
	}
	return std::chrono::duration<double>(Clock::now() - began).count();
}

void Group::abandon() {
	state->active = false;
}

void Group::measure(ss_metrics &m) {
	State &s = *state;
	std::vector<const Transfer *> all;
	for (const Bucket &b : s.buckets)
		all.push_back(&b.transfer);
	all.push_back(&s.stats_transfer);
	all.push_back(&s.figures_transfer);
	m.exchange_s = 0;
	if (s.device.is_cuda()) { // one after the other on NCCL's own stream
		if (!s.wait_ends)
			return;
		for (auto *t : all)
			if (t->work)
				m.exchange_s += t->work->getDuration() / 1e3;
		m.group_s = s.wait_begins->elapsedTime(*s.wait_ends) / 1e3;
		return;
	}
	// Several are on their way at a time: the time in which at least one was.
	std::vector<std::pair<Clock::time_point, Clock::time_point>> spans;
	for (auto *t : all)
		if (t->ended && *t->ended)
			spans.emplace_back(t->sent, Clock::time_point(Clock::duration(*t->ended)));
	std::sort(spans.begin(), spans.end());
	Clock::time_point until{};
	Clock::duration sum{};
	for (auto &[from, to] : spans) {
		if (to <= until)
			continue;
		sum += to - std::max(from, until);
		until = to;
	}
	m.exchange_s = std::chrono::duration<double>(sum).count();
}

void Group::sum(double *values, int64_t n) {
	at::NoGradGuard none;
	auto host = at::from_blob(values, {n}, at::kDouble);
	auto t = host.to(state->device, false, true);
	state->await(*state->sum(t));
	host.copy_(t);
}

} // namespace synshard
