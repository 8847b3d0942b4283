// One step of training, two ways that compute the same: plain_step waits for everything and lets the host decide;
// Queue::compute leaves what decides on the device, so that it is only queued, or recorded and replayed. What they are
// made of comes first.
#include "gpu.h"

#include <c10/core/GradMode.h>

#include <chrono>
#include <cmath>
#include <cstring>

namespace synshard {

namespace {

// With weights it is the mean weighted by those of the labels, as PyTorch's CrossEntropyLoss has it. The loss of a
// mixture is that of its labels by their shares, and so is its weight: without weights the cross entropy of such a
// distribution over the classes.
at::Tensor loss_of(const at::Tensor &logits, const Labels &y, const at::Tensor &weights, double smoothing) {
	if (!y.other.defined())
		return at::cross_entropy_loss(logits, y.own, weights, at::Reduction::Mean, -1, smoothing);
	at::Tensor rest = 1 - y.share;
	auto each = [&](const at::Tensor &label) {
		return at::cross_entropy_loss(logits, label, weights, at::Reduction::None, -1, smoothing);
	};
	auto weight = [&](const at::Tensor &label) {
		at::Tensor valid = label.ge(0);
		return weights.defined() ? weights.index_select(0, label.clamp_min(0)) * valid : valid.to(at::kFloat);
	};
	return (y.share * each(y.own) + rest * each(y.other)).sum() /
		(y.share * weight(y.own) + rest * weight(y.other)).sum();
}

double since(std::chrono::steady_clock::time_point &t) {
	auto now = std::chrono::steady_clock::now();
	double s = std::chrono::duration<double>(now - t).count();
	t = now;
	return s;
}

} // namespace

int64_t check_labels(const ss_engine &e, const ss_batch &b) {
	if (!b.labels)
		throw bad_argument("batch: no labels");
	int64_t counted = 0;
	for (int i = 0; i < b.rows; i++) {
		if (b.labels[i] < -1 || b.labels[i] >= e.network.classes)
			throw bad_argument("label " + std::to_string(b.labels[i]) + " of row " + std::to_string(i) +
				" is not one of " + std::to_string(e.network.classes) + " classes");
		counted += b.labels[i] >= 0;
	}
	for (int i = 0; b.others && i < b.rows; i++)
		if (b.others[i] >= e.network.classes || (b.others[i] >= 0) != (b.labels[i] >= 0) ||
			!(b.shares[i] >= 0 && b.shares[i] <= 1))
			throw bad_argument("label " + std::to_string(b.others[i]) + ", mixed into row " +
				std::to_string(i) + " with the share " + std::to_string(1 - b.shares[i]) + ", of " +
				std::to_string(e.network.classes) + " classes");
	return counted;
}

at::Tensor normalised(const ss_engine &e, const at::Tensor &bytes) {
	auto x = bytes.permute({0, 3, 1, 2}); // NHWC in memory, which is channels_last
	x = at::addcmul(e.config.shift, x.to(at::kFloat), e.config.scale);
	return x.contiguous(e.config.channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
}

at::Tensor images_of(const ss_engine &e, const ss_batch &b) {
	if (b.rows < 1 || !b.images)
		throw bad_argument("batch: no images");
	int64_t s = b.size;
	return normalised(
		e, at::from_blob(const_cast<uint8_t *>(b.images), {b.rows, s, s, 3}, at::kByte).to(e.config.device));
}

Losses losses(const ss_engine &e, const Outputs &o, const Labels &y, int64_t counted) {
	// In a group a process may have nothing but padding; it takes part all the same.
	auto loss = [&](const at::Tensor &logits, const at::Tensor &weights, double smoothing) {
		return counted ? loss_of(logits, y, weights, smoothing) : logits.sum() * 0;
	};
	double smoothing = e.config.label_smoothing;
	const at::Tensor &weights = e.network.class_weight;
	bool plain = smoothing == 0 && !weights.defined();
	Losses l;
	l.main = loss(o.logits, weights, smoothing);
	l.entropy = plain ? l.main.detach() : loss(o.logits.detach(), {}, 0);
	l.total = l.main;
	for (size_t i = 0; i < o.aux.size(); i++) {
		auto a = loss(o.aux[i], weights, smoothing);
		l.aux = l.aux.defined() ? l.aux + a.detach() : a.detach();
		l.total = l.total + e.network.aux_weight[i] * a;
	}
	l.correct = o.logits.detach().argmax(1).eq(y.own).sum();
	return l;
}

void report_group(const double *figures, ss_metrics &m) {
	m.group_loss = figures[0];
	m.group_main_loss = figures[1];
	m.group_aux_loss = figures[2];
	m.group_cross_entropy = figures[3];
	m.group_correct = static_cast<int64_t>(figures[4]);
}

void zero_grad(ss_engine &e) {
	for (Param &p : e.network.params)
		p.value.mutable_grad().reset();
}

Labels labels_of(const ss_engine &e, const ss_batch &b) {
	auto there = [&](const void *from, at::ScalarType t) {
		if (!from)
			return at::Tensor();
		return at::from_blob(const_cast<void *>(from), {b.rows}, t).to(e.config.device, false, true);
	};
	return {there(b.labels, at::kLong), there(b.others, at::kLong), there(b.shares, at::kFloat)};
}

namespace {

// begin keeps the running statistics of before the step, its first microbatch's: what a step that fails goes back to.
void begin(ss_engine &e) {
	if (!e.pending && !e.stats.empty()) {
		at::NoGradGuard none;
		at::_foreach_copy_(e.saved_stats, e.stats);
	}
	if (!e.pending)
		e.figures.reset();
	e.pending = true;
}

// n_figures are what a microbatch found, on the device: loss, main loss, auxiliary loss, cross entropy, correct.
constexpr int n_figures = 5;
static_assert(sizeof gpu::Result::group == n_figures * sizeof(double));

at::Tensor figures_of(const Losses &l) {
	at::Tensor main = l.main.detach();
	return at::stack({l.total.detach(), main, l.aux.defined() ? l.aux : at::zeros_like(main), l.entropy,
		l.correct.to(at::kFloat)});
}

// exchange lets the group begin to sum up the step whose last microbatch is s: its gradients, as the backward pass
// makes them, and what it found, so that after them there is nothing left to tell each other.
void exchange(ss_engine &e, const ss_step &s) {
	at::NoGradGuard none;
	e.group->begin(e.network, !s.freeze_bn, e.figures);
}

// add_figures adds a microbatch's to those of the group's step under way.
void add_figures(ss_engine &e, const Losses &l, const ss_step &s) {
	at::NoGradGuard none;
	at::Tensor found = figures_of(l).to(at::kDouble);
	found.narrow(0, 0, 3).mul_(s.grad_scale); // means; the last is a count
	found.select(0, 3).mul_(s.row_share);
	e.figures = e.figures.defined() ? e.figures + found : found;
}

Mode mode_of(const ss_step &s) {
	return s.freeze_bn ? Mode::train_frozen_bn : Mode::train;
}

} // namespace

// plain_step takes one microbatch and waits for it: on the processor, and on a GPU without kernels of ours.
void plain_step(ss_engine &e, const ss_batch &b, const ss_step &s, ss_metrics &m) {
	at::AutoGradMode grad(true);
	std::memset(&m, 0, sizeof m);
	m.counted = check_labels(e, b);
	if (m.counted == 0 && !e.group)
		throw bad_argument("batch: every label is -1");
	auto clock = std::chrono::steady_clock::now();
	begin(e);
	auto o = e.network.forward(e.config, images_of(e, b), mode_of(s), true, false, s.seed);
	Losses l = losses(e, o, labels_of(e, b), m.counted);
	double scale = e.config.fp16 ? e.loss_scale : 1;
	m.forward_s = since(clock);
	if (e.group)
		add_figures(e, l, s);
	if (e.group && s.update)
		exchange(e, s);
	(l.total * (scale * s.grad_scale)).backward();
	m.backward_s = since(clock);
	at::NoGradGuard none;
	if (s.update) {
		if (e.group) {
			m.group_s = e.group->finish(e.network);
			since(clock);
		}
		m.grad_norm = e.optimizer->update(e.network, s.lr, s.ema_decay, 1 / scale);
		if (e.group)
			e.group->measure(m); // the update has waited for the device
		bool finite = std::isfinite(m.grad_norm);
		if (e.config.fp16) {
			m.skipped = !finite;
			if (!finite) {
				e.loss_scale = std::max(1.0, e.loss_scale / 2);
				e.good_steps = 0;
			} else if (++e.good_steps == scale_interval) {
				e.loss_scale = std::min(largest_scale, e.loss_scale * 2);
				e.good_steps = 0;
			}
		}
		zero_grad(e);
		e.pending = false;
		m.update_s = since(clock);
	}
	m.loss = l.total.item<double>();
	m.main_loss = l.main.item<double>();
	m.aux_loss = l.aux.defined() ? l.aux.item<double>() : 0;
	m.cross_entropy = l.entropy.item<double>();
	m.correct = l.correct.item<int64_t>();
	m.loss_scale = scale;
	if (e.group && s.update) {
		at::Tensor all = e.figures.cpu();
		report_group(all.const_data_ptr<double>(), m);
	}
}

namespace gpu {

namespace {

// normalised_8 is normalised, in the network's precision and with five channels of 0 beside the three, in one kernel.
at::Tensor normalised_8(const ss_engine &e, const at::Tensor &bytes) {
	const Kernels &k = *e.config.kernels;
	at::Tensor x = at::empty({bytes.size(0), 8, bytes.size(1), bytes.size(2)},
		bytes.options().dtype(e.config.compute).memory_format(at::MemoryFormat::ChannelsLast));
	long long pixels = bytes.numel() / 3;
	std::string kernel = std::string("normalise_8_") + type_name(x);
	int64_t useful = (pixels + block_threads - 1) / block_threads,
		room = int64_t(8) * k.multiprocessors * k.resident(kernel, block_threads);
	k.launch(kernel, {static_cast<unsigned>(std::min(useful, room)), 1}, {block_threads, 1},
		bytes.const_data_ptr<unsigned char>(), e.config.scale.const_data_ptr<float>(),
		e.config.shift.const_data_ptr<float>(), pixels, x.mutable_data_ptr());
	return x;
}

// takes_eight says whether only convolutions read the images, which take channels that are 0 by weights that are 0.
bool takes_eight(const ss_engine &e) {
	for (const Node &n : e.network.nodes)
		for (int in : n.inputs)
			if (in == 0 && n.op != SS_CONV)
				return false;
	return e.config.channels_last;
}

} // namespace

// compute is a step's work but for what goes to the device before it (upload) and comes back after it (add, collect).
void Queue::compute(ss_engine &e, const ss_step &s, int64_t counted) {
	begin(e);
	at::AutoGradMode grad(true);
	at::Tensor x = takes_eight(e) ? normalised_8(e, images.bytes) : normalised(e, images.bytes);
	auto o = e.network.forward(config, x, mode_of(s), true, false, s.seed, as<Settings>(settings));
	Losses l = losses(e, o, labels, counted);
	at::Tensor scale = settings.view(at::kDouble)[2];
	if (config.fp16)
		scale = scale * kept.view(at::kDouble)[0];
	if (e.group)
		add_figures(e, l, s);
	if (e.group && s.update)
		exchange(e, s);
	(l.total * scale.to(at::kFloat)).backward();
	at::NoGradGuard none;
	result.view(at::kDouble).narrow(0, 0, n_figures).copy_(figures_of(l));
	if (!s.update)
		return;
	if (e.group) {
		pending.back().metrics.group_s = e.group->finish(e.network);
		result.view(at::kDouble)
			.narrow(0, offsetof(Result, group) / sizeof(double), n_figures)
			.copy_(e.figures);
	}
	update->run(e.network, as<Settings>(settings), as<State>(kept), as<Result>(result));
	zero_grad(e);
	e.pending = false;
}

} // namespace gpu

} // namespace synshard
