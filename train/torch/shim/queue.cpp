// Steps under way on a GPU. The host queues step k while step k-1 runs, and waits for nothing but the copy of its
// images; losses and norms are read one step late.
#include "gpu.h"

#include <ATen/DeviceAccelerator.h>
#include <c10/core/GradMode.h>

#include <chrono>
#include <cstring>

namespace synshard {
namespace gpu {

namespace {

// Steps of one shape before it is recorded: cuDNN tries its algorithms in the first.
constexpr int steps_before_recording = 3;

c10::Stream stream_now(const at::Device &d) {
	return at::accelerator::getCurrentStream(d.index());
}

} // namespace

Queue::Queue(ss_engine &e)
    : config(e.config), update(std::make_unique<Update>(e.config, e.network)), images(e.config.device) {
	auto raw = [&](size_t n) {
		return at::zeros({static_cast<int64_t>(n)}, at::TensorOptions().dtype(at::kByte).device(config.device));
	};
	settings = raw(sizeof(Settings));
	kept = raw(sizeof(State));
	result = raw(sizeof(Result));
	State first{};
	first.loss_scale = config.fp16 ? first_scale : 1;
	set_state(first);
	can_record = Graph::possible(config.device) && !e.group;
	note = "fused kernels";
	if (e.group)
		note += ", steps not recorded: gradients are exchanged while they are computed";
	else if (!can_record)
		note += ", steps not recorded: built without CUDA's headers";
}

Queue::~Queue() {
	if (config.device.is_cuda())
		quietly([&] { at::accelerator::synchronizeDevice(config.device.index()); });
}

bool Queue::forget() {
	if (!recorded.graph)
		return false;
	if (config.device.is_cuda())
		at::accelerator::synchronizeDevice(config.device.index());
	recorded = {};
	if (config.device.is_cuda())
		at::accelerator::emptyCache();
	return true;
}

// host gives memory that copies to the device need not wait for.
at::Tensor Queue::host(size_t n) const {
	return at::empty(
		{static_cast<int64_t>(n)}, at::TensorOptions().dtype(at::kByte).pinned_memory(config.device.is_cuda()));
}

State Queue::state() const {
	State s;
	at::Tensor here = kept.cpu();
	std::memcpy(&s, here.const_data_ptr(), sizeof s);
	return s;
}

void Queue::set_state(const State &s) {
	at::Tensor here = at::empty({sizeof(State)}, at::kByte);
	std::memcpy(here.mutable_data_ptr(), &s, sizeof s);
	kept.copy_(here);
}

// upload brings images, labels and settings to the places that a recorded step reads.
void Queue::upload(ss_engine &e, const ss_batch &b, const ss_step &s) {
	bool mixed = b.others;
	if (!images.holds(b.rows, b.size) || labels.other.defined() != mixed) {
		forget();
		auto room = [&](at::ScalarType t) {
			return at::empty({b.rows}, at::TensorOptions().device(config.device).dtype(t));
		};
		Labels other{room(at::kLong), mixed ? room(at::kLong) : at::Tensor(),
			mixed ? room(at::kFloat) : at::Tensor()};
		images.make_room(b.rows, b.size);
		labels = std::move(other); // all of it is there, or none
	}
	images.bring(b);
	auto bring = [&](at::Tensor &to, const void *from) {
		at::Tensor here = host(to.nbytes());
		std::memcpy(here.mutable_data_ptr(), from, to.nbytes());
		to.copy_(here.view(to.scalar_type()), true);
	};
	bring(labels.own, b.labels);
	if (mixed) {
		bring(labels.other, b.others);
		bring(labels.share, b.shares);
	}
	const Settings set{s.lr, s.ema_decay, s.grad_scale, s.seed};
	bring(settings, &set);
}

// run_recorded replays the step if it is the one recorded, or records it once its shape has come often enough.
bool Queue::run_recorded(ss_engine &e, const ss_batch &b, const ss_step &s, int64_t counted) {
	if (!can_record)
		return false;
	if (!s.update || e.pending) {
		note = "fused kernels, steps not recorded: they are of several microbatches";
		return false;
	}
	int32_t mixed = b.others != nullptr;
	if (recorded.rows != b.rows || recorded.size != b.size || recorded.mixed != mixed ||
		recorded.freeze_bn != s.freeze_bn) {
		forget();
		recorded = {b.rows, b.size, mixed, s.freeze_bn, 0, nullptr};
	}
	if (!recorded.graph) {
		if (recorded.seen++ < steps_before_recording)
			return false;
		if (config.device.is_cuda())
			at::accelerator::emptyCache(); // the recording cannot use what other steps' memory is kept for
		auto graph = std::make_unique<Graph>();
		try {
			graph->record([this, &e, s, counted] { compute(e, s, counted); }); // of what was brought up
		} catch (const std::exception &error) {
			can_record = false;
			e.pending = false;
			note = std::string("fused kernels, steps not recorded: ") + error.what();
			note = note.substr(0, note.find('\n'));
			at::NoGradGuard none;
			zero_grad(e);
			graph.reset();
			if (config.device.is_cuda()) // the recording's memory, for the step that is taken instead
				at::accelerator::emptyCache();
			if (config.must_record && out_of_memory(error))
				throw;
			return false;
		}
		recorded.graph = std::move(graph);
		note = "fused kernels, recorded steps";
	}
	recorded.graph->replay();
	return true;
}

void Queue::add(ss_engine &e, const ss_batch &b, const ss_step &s) {
	auto began = std::chrono::steady_clock::now();
	Pending p;
	std::memset(&p.metrics, 0, sizeof p.metrics);
	p.metrics.counted = check_labels(e, b);
	if (!b.images)
		throw bad_argument("batch: no images");
	if (p.metrics.counted == 0 && !e.group)
		throw bad_argument("batch: every label is -1");
	int64_t counted = p.metrics.counted;
	p.update = s.update;
	p.result = host(sizeof(Result)); // before the step: behind it nothing must fail
	if (config.device.is_cuda())
		p.done = std::make_unique<c10::Event>(config.device.type());
	pending.push_back(std::move(p));
	try {
		upload(e, b, s);
		update->lower();
		if (!run_recorded(e, b, s, counted))
			compute(e, s, counted);
		Pending &mine = pending.back();
		mine.result.copy_(result, true);
		if (mine.done)
			mine.done->record(stream_now(config.device));
		mine.metrics.forward_s =
			std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count() -
			mine.metrics.group_s;
	} catch (...) {
		pending.pop_back();
		throw;
	}
}

void Queue::drop() {
	while (!pending.empty() && !pending.back().update)
		pending.pop_back();
}

void Queue::collect(ss_engine &e, ss_metrics &m) {
	if (pending.empty())
		throw bad_argument("collect: no step is under way");
	Pending p = std::move(pending.front());
	pending.pop_front();
	auto began = std::chrono::steady_clock::now();
	if (p.done)
		p.done->synchronize();
	const Result &r = *static_cast<const Result *>(p.result.const_data_ptr());
	m = p.metrics;
	m.update_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
	if (p.done) // the host waited for the exchange as for all before it
		m.update_s += p.metrics.group_s;
	m.loss = r.loss;
	m.main_loss = r.main_loss;
	m.aux_loss = r.aux_loss;
	m.cross_entropy = r.cross_entropy;
	m.correct = static_cast<int64_t>(r.correct);
	m.grad_norm = r.grad_norm;
	m.skipped = r.skipped != 0;
	m.loss_scale = r.loss_scale;
	report_group(r.group, m);
	if (e.group && p.update) // no other exchange has begun: a group's steps are collected one by one
		e.group->measure(m);
}

} // namespace gpu
} // namespace synshard
