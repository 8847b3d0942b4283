// The update: RMSProp as TensorFlow's, SGD and AdamW, with the average of weights.
#include "engine.h"

#include <ATen/Parallel.h>

#include <cmath>

namespace synshard {

namespace {

// Elements a thread takes at a time.
constexpr int64_t grain = 1 << 15;

const char *const rmsprop_slots[] = {"ms", "mom", nullptr};
const char *const sgd_slots[] = {"mom", nullptr};
const char *const adamw_slots[] = {"m", "v", nullptr};

bool dense_like(const at::Tensor &a, const at::Tensor &b) {
	return a.strides() == b.strides();
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
		foreach (network, lr, ema_decay, scale)
			;
		return norm;
	}
	for (Param &p : network.params) {
		if (!p.trained()) {
			if (config.ema)
				p.ema.mul_(ema_decay).add_(p.value, 1 - ema_decay);
			continue;
		}
		if (p.value.grad().defined())
			fused(p, p.value.grad(), lr, ema_decay, scale);
	}
	return norm;
}

// fused makes the whole update of one parameter in one pass over memory.
void Optimizer::fused(Param &param, const at::Tensor &gradient, double lr_, double ema_, double scale_) const {
	at::Tensor value = param.value.detach(), g = gradient;
	if (!dense_like(g, value))
		g = at::empty_like(value).copy_(g);
	float *p = value.data_ptr<float>(), *e = config.ema ? param.ema.data_ptr<float>() : nullptr;
	float *a = param.slot[0].data_ptr<float>(),
	      *b = param.slot.size() > 1 ? param.slot[1].data_ptr<float>() : nullptr;
	const float *grad = g.data_ptr<float>();
	const float lr = lr_, scale = scale_, limit = config.clip_value > 0 ? config.clip_value : INFINITY;
	const float decay = param.decayed() ? config.weight_decay : 0, keep = 1 - ema_;
	const float momentum = config.momentum, rho = config.rho, eps = config.eps;
	const float beta1 = config.beta1, beta2 = config.beta2;
	const float correct1 = 1 - std::pow(config.beta1, updates), correct2 = 1 - std::pow(config.beta2, updates);
	const bool nesterov = config.nesterov;
	at::parallel_for(0, value.numel(), grain, [&](int64_t begin, int64_t end) {
		auto gradient_at = [&](int64_t i, float l2) {
			return std::fmin(std::fmax(grad[i] * scale, -limit), limit) + l2 * p[i];
		};
		switch (config.optimizer) {
		case SS_RMSPROP:
			for (int64_t i = begin; i < end; i++) {
				float d = gradient_at(i, decay);
				a[i] = rho * a[i] + (1 - rho) * d * d;
				b[i] = momentum * b[i] + lr * d / std::sqrt(a[i] + eps);
				p[i] -= b[i];
			}
			break;
		case SS_SGD:
			for (int64_t i = begin; i < end; i++) {
				float d = gradient_at(i, decay);
				a[i] = momentum * a[i] + d;
				p[i] -= lr * (nesterov ? d + momentum * a[i] : a[i]);
			}
			break;
		case SS_ADAMW:
			for (int64_t i = begin; i < end; i++) {
				float d = gradient_at(i, 0);
				a[i] = beta1 * a[i] + (1 - beta1) * d;
				b[i] = beta2 * b[i] + (1 - beta2) * d * d;
				p[i] -= lr * (decay * p[i] + a[i] / correct1 / (std::sqrt(b[i] / correct2) + eps));
			}
			break;
		}
		if (e)
			for (int64_t i = begin; i < end; i++)
				e[i] += keep * (p[i] - e[i]);
	});
}

// foreach is the same arithmetic in multi-tensor operations, a few launches for all parameters.
void Optimizer::foreach (Network &network, double lr, double ema_decay, double scale) const {
	std::vector<at::Tensor> p, g, a, b, decayed, decayed_g, averages, sources;
	for (Param &x : network.params) {
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
	if (scale != 1)
		at::_foreach_mul_(g, scale);
	if (config.clip_value > 0) {
		at::_foreach_clamp_min_(g, -config.clip_value);
		at::_foreach_clamp_max_(g, config.clip_value);
	}
	if (config.weight_decay > 0 && config.optimizer != SS_ADAMW)
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
		if (config.weight_decay > 0)
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

} // namespace synshard
