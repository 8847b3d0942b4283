// The update: RMSProp as TensorFlow's, SGD and AdamW, with the average of weights. Three ways that compute the same,
// held to each other and to the arithmetic written down in Go by tests:
//
//	fused    on the processor: one pass over memory a parameter
//	foreach  libtorch's operations over all parameters at a time, where a GPU has no kernels of ours
//	Update   kernels.cu's update: one launch for all parameters, and no word with the host about it; it writes the
//	         weights in the network's precision as well, so that no step has to
//
// With g the gradient times scale, clipped, plus weight_decay p for convolution and linear weights (AdamW: not):
//
//	rmsprop  ms = rho ms + (1-rho) g^2; mom = momentum mom + lr g / sqrt(ms + eps); p -= mom
//	sgd      mom = momentum mom + g; p -= lr mom, or with Nesterov lr (g + momentum mom)
//	adamw    m = beta1 m + (1-beta1) g; v = beta2 v + (1-beta2) g^2;
//	         p -= lr (weight_decay p + m / (1-beta1^t) / (sqrt(v / (1-beta2^t)) + eps))
//	average  ema += (1 - ema_decay) (p - ema)
#include "gpu.h"
#include "rows.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <cstring>
#include <set>

namespace synshard {

namespace {

// Elements a thread takes at a time.
constexpr int64_t grain = 1 << 15;

const char *const rmsprop_slots[] = {"ms", "mom", nullptr};
const char *const sgd_slots[] = {"mom", nullptr};
const char *const adamw_slots[] = {"m", "v", nullptr};

// dense_like says whether a's elements lie in memory as b's do. The stride of a dimension of one means nothing, and
// differs between what cuDNN gives for a 1x1 convolution and what the weights have.
bool dense_like(const at::Tensor &a, const at::Tensor &b) {
	for (int64_t i = 0; i < a.dim(); i++)
		if (a.size(i) > 1 && a.stride(i) != b.stride(i))
			return false;
	return true;
}

// Rates are what an update goes by.
struct Rates {
	float lr, scale, limit, decay, momentum, rho, eps, beta1, beta2, correct1, correct2;
	bool nesterov;
};

Rates rates(const Config &c, double lr, double scale, bool decayed, int64_t updates) {
	Rates r{};
	r.lr = lr;
	r.scale = scale;
	r.limit = c.clip_value > 0 ? c.clip_value : INFINITY;
	r.decay = decayed ? c.weight_decay : 0;
	r.momentum = c.momentum;
	r.rho = c.rho;
	r.eps = c.eps;
	r.beta1 = c.beta1;
	r.beta2 = c.beta2;
	r.correct1 = 1 - std::pow(c.beta1, updates);
	r.correct2 = 1 - std::pow(c.beta2, updates);
	r.nesterov = c.nesterov;
	return r;
}

// Some elements' update, compiled for each generation of processors.

INLINE float clipped(const Rates &r, float g) {
	g *= r.scale;
	g = g < -r.limit ? -r.limit : g;
	return g > r.limit ? r.limit : g;
}

WIDE void rmsprop(Rates r, const float *__restrict g, float *__restrict p, float *__restrict ms, float *__restrict mom,
	int64_t n) {
	for (int64_t i = 0; i < n; i++) {
		float d = clipped(r, g[i]) + r.decay * p[i];
		ms[i] = r.rho * ms[i] + (1 - r.rho) * d * d;
		mom[i] = r.momentum * mom[i] + r.lr * d / std::sqrt(ms[i] + r.eps);
		p[i] -= mom[i];
	}
}

WIDE void sgd(Rates r, const float *__restrict g, float *__restrict p, float *__restrict mom, int64_t n) {
	for (int64_t i = 0; i < n; i++) {
		float d = clipped(r, g[i]) + r.decay * p[i];
		mom[i] = r.momentum * mom[i] + d;
		p[i] -= r.lr * (r.nesterov ? d + r.momentum * mom[i] : mom[i]);
	}
}

WIDE void adamw(
	Rates r, const float *__restrict g, float *__restrict p, float *__restrict m, float *__restrict v, int64_t n) {
	for (int64_t i = 0; i < n; i++) {
		float d = clipped(r, g[i]);
		m[i] = r.beta1 * m[i] + (1 - r.beta1) * d;
		v[i] = r.beta2 * v[i] + (1 - r.beta2) * d * d;
		p[i] -= r.lr * (r.decay * p[i] + m[i] / r.correct1 / (std::sqrt(v[i] / r.correct2) + r.eps));
	}
}

WIDE void average(float keep, const float *__restrict p, float *__restrict e, int64_t n) {
	for (int64_t i = 0; i < n; i++)
		e[i] += keep * (p[i] - e[i]);
}

} // namespace

const char *const *Optimizer::slots() const {
	switch (config.optimizer) {
	case SS_RMSPROP:
		return rmsprop_slots;
	case SS_SGD:
		return sgd_slots;
	case SS_ADAMW:
		return adamw_slots;
	}
	throw bad_argument("optimiser " + std::to_string(config.optimizer));
}

Optimizer::Optimizer(const Config &config, Network &network) : config(config) {
	for (Param &p : network.params) {
		if (!p.trained())
			continue;
		for (const char *const *s = slots(); *s; s++)
			p.slot.push_back(at::zeros_like(p.value.detach()));
		// TensorFlow's mean square starts at one.
		if (config.optimizer == SS_RMSPROP)
			p.slot[0].fill_(1);
	}
}

double Optimizer::update(Network &network, double lr, double ema_decay, double scale) {
	std::vector<at::Tensor> grads;
	for (Param &p : network.params)
		if (p.trained() && p.value.grad().defined())
			grads.push_back(p.value.grad());
	if (grads.empty())
		throw bad_argument("update without gradients");
	double norm = at::stack(at::_foreach_norm(grads)).norm().item<double>() * std::abs(scale);
	if (!std::isfinite(norm))
		return norm;
	if (config.clip_norm > 0 && norm > config.clip_norm)
		scale *= config.clip_norm / norm;
	updates++;
	if (!config.device.is_cpu()) {
		std::set<double> rates;
		for (const Param &p : network.params)
			if (!p.frozen())
				rates.insert(p.rate);
		for (double rate : rates)
			foreach (network, rate, lr, ema_decay, scale)
				;
		return norm;
	}
	for (Param &p : network.params) {
		if (!p.trained()) {
			if (config.ema && p.follows())
				p.ema.mul_(ema_decay).add_(p.value, 1 - ema_decay);
			continue;
		}
		if (p.value.grad().defined())
			fused(p, p.value.grad(), lr, ema_decay, scale);
	}
	return norm;
}

// fused makes the whole update of one parameter in one pass over memory.
void Optimizer::fused(Param &param, const at::Tensor &gradient, double lr, double ema_decay, double scale) const {
	at::Tensor value = param.value.detach(), g = gradient;
	if (!dense_like(g, value))
		g = at::empty_like(value).copy_(g);
	float *p = value.data_ptr<float>(), *e = config.ema ? param.ema.data_ptr<float>() : nullptr;
	float *a = param.slot[0].data_ptr<float>(),
	      *b = param.slot.size() > 1 ? param.slot[1].data_ptr<float>() : nullptr;
	const float *grad = g.data_ptr<float>();
	Rates r = rates(config, lr * param.rate, scale, param.decayed(), updates);
	at::parallel_for(0, value.numel(), grain, [&](int64_t i, int64_t end) {
		int64_t n = end - i;
		switch (config.optimizer) {
		case SS_RMSPROP:
			rmsprop(r, grad + i, p + i, a + i, b + i, n);
			break;
		case SS_SGD:
			sgd(r, grad + i, p + i, a + i, n);
			break;
		case SS_ADAMW:
			adamw(r, grad + i, p + i, a + i, b + i, n);
			break;
		}
		if (e)
			average(1 - static_cast<float>(ema_decay), p + i, e + i, n);
	});
}

// foreach is the same arithmetic in multi-tensor operations, a few launches for all parameters of one rate.
void Optimizer::foreach (Network &network, double rate, double lr, double ema_decay, double scale) const {
	lr *= rate;
	std::vector<at::Tensor> p, g, a, b, decayed, decayed_g, averages, sources;
	for (Param &x : network.params) {
		if (x.rate != rate)
			continue;
		if (config.ema) {
			averages.push_back(x.ema);
			sources.push_back(x.value.detach());
		}
		if (!x.trained() || !x.value.grad().defined())
			continue;
		p.push_back(x.value.detach());
		g.push_back(x.value.grad());
		a.push_back(x.slot[0]);
		if (x.slot.size() > 1)
			b.push_back(x.slot[1]);
		if (x.decayed()) {
			decayed.push_back(p.back());
			decayed_g.push_back(g.back());
		}
	}
	if (config.ema && !averages.empty() && p.empty())
		return at::_foreach_lerp_(averages, sources, 1 - ema_decay);
	if (p.empty())
		return;
	if (scale != 1)
		at::_foreach_mul_(g, scale);
	if (config.clip_value > 0) {
		at::_foreach_clamp_min_(g, -config.clip_value);
		at::_foreach_clamp_max_(g, config.clip_value);
	}
	if (config.weight_decay > 0 && config.optimizer != SS_ADAMW && !decayed.empty())
		at::_foreach_add_(decayed_g, decayed, config.weight_decay);
	switch (config.optimizer) {
	case SS_RMSPROP: {
		at::_foreach_mul_(a, config.rho);
		at::_foreach_addcmul_(a, g, g, 1 - config.rho);
		auto root = at::_foreach_add(a, config.eps);
		at::_foreach_sqrt_(root);
		at::_foreach_mul_(b, config.momentum);
		at::_foreach_addcdiv_(b, g, root, lr);
		at::_foreach_sub_(p, b);
		break;
	}
	case SS_SGD:
		at::_foreach_mul_(a, config.momentum);
		at::_foreach_add_(a, g);
		if (config.nesterov) {
			at::_foreach_add_(g, a, config.momentum);
			at::_foreach_add_(p, g, -lr);
		} else {
			at::_foreach_add_(p, a, -lr);
		}
		break;
	case SS_ADAMW: {
		if (config.weight_decay > 0 && !decayed.empty())
			at::_foreach_mul_(decayed, 1 - lr * config.weight_decay);
		at::_foreach_mul_(a, config.beta1);
		at::_foreach_add_(a, g, 1 - config.beta1);
		at::_foreach_mul_(b, config.beta2);
		at::_foreach_addcmul_(b, g, g, 1 - config.beta2);
		auto root = at::_foreach_sqrt(b);
		at::_foreach_div_(root, std::sqrt(1 - std::pow(config.beta2, updates)));
		at::_foreach_add_(root, config.eps);
		at::_foreach_addcdiv_(p, a, root, -lr / (1 - std::pow(config.beta1, updates)));
		break;
	}
	}
	if (config.ema)
		at::_foreach_lerp_(averages, sources, 1 - ema_decay);
}

namespace gpu {

namespace {

template <class T> at::Tensor to_device(const std::vector<T> &list, const at::Device &device) {
	auto bytes = at::empty({static_cast<int64_t>(list.size() * sizeof(T))}, at::kByte);
	std::memcpy(bytes.mutable_data_ptr(), list.data(), list.size() * sizeof(T));
	return bytes.to(device);
}

Rule rule_of(const Config &c) {
	return {static_cast<float>(c.momentum), static_cast<float>(c.rho), static_cast<float>(c.eps),
		static_cast<float>(c.beta1), static_cast<float>(c.beta2), static_cast<float>(c.weight_decay),
		static_cast<float>(c.clip_value), c.nesterov, c.fp16};
}

const char *kernel_of(const Config &c) {
	switch (c.optimizer) {
	case SS_RMSPROP:
		return "update_rmsprop";
	case SS_SGD:
		return "update_sgd";
	case SS_ADAMW:
		return "update_adamw";
	}
	throw bad_argument("optimiser " + std::to_string(c.optimizer));
}

} // namespace

Update::Update(const Config &config, Network &network) : config(config) {
	if (config.compute != at::kFloat)
		network.keep_low(config);
	std::vector<Entry> table;
	std::vector<Chunk> chunks;
	auto end_part = [&] {
		parts.back().chunks = to_device(chunks, config.device);
		parts.back().blocks = static_cast<unsigned>(chunks.size());
		chunks.clear();
	};
	parts.emplace_back();
	for (size_t i = 0; i < network.params.size(); i++) {
		Param &p = network.params[i];
		if (p.frozen() ? !p.low.defined() : !p.trained() && !config.ema)
			continue; // of what is frozen the copy is made, once
		if (parts.back().params.size() == launch_gradients) {
			end_part();
			parts.emplace_back();
		}
		auto data = [](const at::Tensor &t) { return t.defined() ? t.mutable_data_ptr<float>() : nullptr; };
		Entry e{p.value.detach().mutable_data_ptr<float>(), nullptr, nullptr,
			p.frozen() ? nullptr : data(p.ema), p.low.defined() ? p.low.mutable_data_ptr() : nullptr,
			p.value.numel(), -1, p.decayed(), static_cast<float>(p.rate)};
		if (p.trained()) {
			e.slot0 = p.slot[0].mutable_data_ptr<float>();
			e.slot1 = p.slot.size() > 1 ? p.slot[1].mutable_data_ptr<float>() : nullptr;
			e.gradient = static_cast<int>(parts.back().params.size());
			parts.back().params.push_back(static_cast<int>(i));
		}
		for (int64_t c = 0; c * chunk_elements < e.n; c++)
			chunks.push_back({static_cast<int>(table.size()), static_cast<int>(c)});
		table.push_back(e);
	}
	end_part();
	entries = to_device(table, config.device);
}

void Update::lower() {
	if (!stale || config.compute == at::kFloat)
		return;
	for (const Part &part : parts)
		config.kernels->launch("lower_weights", {part.blocks, 1}, {block_threads, 1},
			static_cast<const Entry *>(entries.const_data_ptr()),
			static_cast<const Chunk *>(part.chunks.const_data_ptr()), rule_of(config));
	stale = false;
}

void Update::run(const Network &network, const Settings *settings, State *state, Result *result) const {
	std::vector<at::Tensor> all, moved;
	std::vector<Gradients> lists(parts.size());
	for (size_t i = 0; i < parts.size(); i++) {
		lists[i] = {};
		for (size_t j = 0; j < parts[i].params.size(); j++) {
			const Param &p = network.params[parts[i].params[j]];
			at::Tensor g = p.value.grad();
			if (!g.defined())
				continue;
			if (!dense_like(g, p.value)) {
				g = at::empty_like(p.value.detach()).copy_(g);
				moved.push_back(g);
			}
			all.push_back(g);
			lists[i].of[j] = g.const_data_ptr<float>();
		}
	}
	if (all.empty())
		throw bad_argument("update without gradients");
	at::Tensor norm = at::stack(at::_foreach_norm(all)).norm();
	const Kernels &k = *config.kernels;
	Loss loss{config.fp16, scale_interval, largest_scale};
	k.launch("decide", {1, 1}, {1, 1}, norm.const_data_ptr<float>(), state, result, config.clip_norm, config.beta1,
		config.beta2, loss);
	for (size_t i = 0; i < parts.size(); i++)
		k.launch(kernel_of(config), {parts[i].blocks, 1}, {block_threads, 1}, settings,
			static_cast<const State *>(state), static_cast<const Entry *>(entries.const_data_ptr()),
			static_cast<const Chunk *>(parts[i].chunks.const_data_ptr()), rule_of(config), lists[i]);
}

} // namespace gpu

} // namespace synshard
