// The table of functions: arguments checked, exceptions turned into codes and messages.
#include "gpu.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <torch/version.h>

#include <chrono>
#include <cmath>
#include <cstring>

using namespace synshard;

namespace {

void say(char *err, size_t n, const char *text) {
	if (!err || n == 0)
		return;
	std::strncpy(err, text, n - 1);
	err[n - 1] = 0;
	for (char *c = err; *c; c++)
		if (*c == '\n') {
			*c = 0;
			break;
		}
}

// guard runs f and gives its outcome as a code and a message.
template <class F> int guard(char *err, size_t n, F f) {
	try {
		f();
		return SS_OK;
	} catch (const bad_argument &e) {
		say(err, n, e.what());
		return SS_BAD_ARGUMENT;
	} catch (const no_device &e) {
		say(err, n, e.what());
		return SS_NO_DEVICE;
	} catch (const lost_peer &e) {
		say(err, n, e.what());
		return SS_LOST_PEER;
	} catch (const c10::OutOfMemoryError &e) {
		say(err, n, e.what_without_backtrace());
		return SS_OUT_OF_MEMORY;
	} catch (const c10::Error &e) {
		say(err, n, e.what_without_backtrace());
		return std::strstr(e.what_without_backtrace(), "not enough memory") ? SS_OUT_OF_MEMORY : SS_ERROR;
	} catch (const std::bad_alloc &) {
		say(err, n, "out of memory");
		return SS_OUT_OF_MEMORY;
	} catch (const std::exception &e) {
		say(err, n, e.what());
		return SS_ERROR;
	} catch (...) {
		say(err, n, "unknown exception");
		return SS_ERROR;
	}
}

Config configure(const ss_config &c) {
	Config to;
	try {
		to.device = at::Device(c.device);
	} catch (const c10::Error &) {
		throw bad_argument(std::string("device ") + c.device + ": want cpu, cuda or cuda:N");
	}
	if (!to.device.is_cpu() && !to.device.is_cuda())
		throw bad_argument(std::string("device ") + c.device + ": want cpu, cuda or cuda:N");
	if (to.device.is_cuda()) {
		int n = at::globalContext().hasCUDA() ? static_cast<int>(at::getNumGPUs()) : 0;
		if (n == 0)
			throw no_device("no CUDA device, or a libtorch without CUDA");
		if (!to.device.has_index())
			to.device = at::Device(at::kCUDA, 0);
		if (to.device.index() >= n)
			throw no_device(std::string("device ") + c.device + ": there are " + std::to_string(n));
	}
	if (c.threads < 1)
		throw bad_argument("threads: want 1 or more");
	switch (c.precision) {
	case SS_FP32:
	case SS_TF32:
		break;
	case SS_BF16:
		to.compute = at::kBFloat16;
		break;
	case SS_FP16:
		to.compute = at::kHalf;
		to.fp16 = true;
		break;
	default:
		throw bad_argument("precision " + std::to_string(c.precision));
	}
	at::globalContext().setAllowTF32CuBLAS(c.precision == SS_TF32);
	at::globalContext().setAllowTF32CuDNN(c.precision == SS_TF32);
	at::globalContext().setBenchmarkCuDNN(true);
	at::set_num_threads(c.threads);
	to.threads = c.threads;
	to.channels_last = c.channels_last;
	to.nesterov = c.nesterov;
	to.ema = c.ema;
	to.optimizer = c.optimizer;
	to.momentum = c.momentum;
	to.rho = c.rho;
	to.eps = c.eps;
	to.beta1 = c.beta1;
	to.beta2 = c.beta2;
	to.weight_decay = c.weight_decay;
	to.recompute = c.recompute;
	to.fused = !c.unfused;
	to.label_smoothing = c.label_smoothing;
	to.clip_norm = c.clip_norm;
	to.clip_value = c.clip_value;
	to.bn_momentum = c.bn_momentum;
	float scale[3], shift[3];
	for (int i = 0; i < 3; i++) {
		if (!(c.std[i] > 0))
			throw bad_argument("normalisation: standard deviations must be above 0");
		scale[i] = static_cast<float>(1 / (255 * c.std[i]));
		shift[i] = static_cast<float>(-c.mean[i] / c.std[i]);
	}
	to.scale = at::from_blob(scale, {1, 3, 1, 1}, at::kFloat).clone().to(to.device);
	to.shift = at::from_blob(shift, {1, 3, 1, 1}, at::kFloat).clone().to(to.device);
	return to;
}

// Here is the engine's device and stream, made the thread's own for as long as it lives.
class Here {
public:
	explicit Here(const ss_engine &e) : device(e.config.device) {
		if (e.stream)
			stream.reset_stream(*e.stream);
	}

private:
	c10::DeviceGuard device;
	c10::OptionalStreamGuard stream;
};

// with_room runs f, and once more without a recorded step's memory if there is not enough.
template <class F> void with_room(ss_engine &e, F f) {
	try {
		return f();
	} catch (const c10::OutOfMemoryError &) {
		if (!e.queue || !e.queue->forget())
			throw;
	}
	f();
}

at::Tensor images(const ss_engine &e, const ss_batch &b) {
	if (b.rows < 1 || !b.images)
		throw bad_argument("batch: no images");
	int64_t s = e.network.input;
	return normalised(
		e, at::from_blob(const_cast<uint8_t *>(b.images), {b.rows, s, s, 3}, at::kByte).to(e.config.device));
}

at::Tensor labels(const ss_engine &e, const ss_batch &b, int64_t *counted) {
	*counted = check_labels(e, b);
	return at::from_blob(const_cast<int64_t *>(b.labels), {b.rows}, at::kLong).to(e.config.device, false, true);
}

at::Tensor loss_of(const ss_engine &e, const at::Tensor &logits, const at::Tensor &y) {
	return at::cross_entropy_loss(logits, y, {}, at::Reduction::Mean, -1, e.config.label_smoothing);
}

double since(std::chrono::steady_clock::time_point &t) {
	auto now = std::chrono::steady_clock::now();
	double s = std::chrono::duration<double>(now - t).count();
	t = now;
	return s;
}

// give_up puts the engine back to where it was before a step that failed.
void give_up(ss_engine &e) noexcept {
	try {
		at::NoGradGuard none;
		Here here(e);
		if (e.group)
			e.group->abandon();
		zero_grad(e); // half a step's gradients must not reach the next
		e.pending = false;
		if (!e.stats.empty())
			at::_foreach_copy_(e.stats, e.saved_stats);
	} catch (...) { // the step's own error is the one to report
	}
}

// step is the plain path: every part waited for.
void step(ss_engine &e, const ss_batch &b, const ss_step &s, ss_metrics &m) {
	at::AutoGradMode grad(true);
	std::memset(&m, 0, sizeof m);
	auto y = labels(e, b, &m.counted);
	if (m.counted == 0 && !e.group)
		throw bad_argument("batch: every label is -1");
	auto clock = std::chrono::steady_clock::now();
	if (!e.pending && !e.stats.empty()) {
		at::NoGradGuard none;
		at::_foreach_copy_(e.saved_stats, e.stats);
	}
	e.pending = true;
	auto o = e.network.forward(
		e.config, images(e, b), s.freeze_bn ? Mode::train_frozen_bn : Mode::train, true, false, s.seed);
	Losses l = losses(e, o, y, m.counted);
	double scale = e.config.fp16 ? e.loss_scale : 1;
	m.forward_s = since(clock);
	if (e.group && s.update)
		e.group->begin(e.network, !s.freeze_bn);
	(l.total * (scale * s.grad_scale)).backward();
	m.backward_s = since(clock);
	at::NoGradGuard none;
	if (s.update) {
		if (e.group) {
			m.group_s = e.group->finish(e.network);
			e.group->measure(m);
			since(clock);
		}
		m.grad_norm = e.optimizer->update(e.network, s.lr, s.ema_decay, 1 / scale);
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
	m.correct = l.correct.item<int64_t>();
	m.loss_scale = scale;
}

void evaluate(ss_engine &e, const ss_batch &b, bool ema, ss_eval &out) {
	Here here(e);
	at::NoGradGuard none;
	if (ema && !e.config.ema)
		throw bad_argument("evaluate: there are no averaged weights");
	std::memset(&out, 0, sizeof out);
	auto y = labels(e, b, &out.n);
	if (out.n == 0)
		return;
	auto logits = e.network.forward(e.config, images(e, b), Mode::eval, false, ema, 0).logits;
	// The rank of the truth: how many classes are above it. A tie goes to the truth's disfavour only by a lower
	// index.
	auto valid = y.ge(0);
	auto truth = logits.gather(1, y.clamp_min(0).unsqueeze(1));
	auto index = at::arange(logits.size(1), y.options()).unsqueeze(0);
	auto above = (logits.gt(truth) | (logits.eq(truth) & index.lt(y.unsqueeze(1)))).sum(1);
	out.top1 = (above.lt(1) & valid).sum().item<int64_t>();
	out.top5 = (above.lt(5) & valid).sum().item<int64_t>();
	out.loss = at::cross_entropy_loss(logits, y, {}, at::Reduction::Sum, -1, 0.0).item<double>();
}

// find gives the tensor that a name stands for, detached.
at::Tensor find(ss_engine &e, const std::string &name) {
	auto param = [&](const std::string &n) -> Param & {
		auto it = e.network.by_name.find(n);
		if (it == e.network.by_name.end())
			throw bad_argument("no tensor is named " + name);
		return e.network.params[it->second];
	};
	if (name.rfind("ema/", 0) == 0) {
		if (!e.config.ema)
			throw bad_argument(name + ": there are no averaged weights");
		return param(name.substr(4)).ema;
	}
	if (name.rfind("opt/", 0) == 0) {
		auto at = name.find('/', 4);
		if (at != std::string::npos) {
			Param &p = param(name.substr(at + 1));
			const char *const *s = e.optimizer->slots();
			for (size_t i = 0; i < p.slot.size(); i++)
				if (name.compare(4, at - 4, s[i]) == 0)
					return p.slot[i];
		}
		throw bad_argument("no tensor is named " + name);
	}
	return param(name).value.detach();
}

void copy_out(const at::Tensor &t, const std::string &name, float *out, int64_t n) {
	if (t.numel() != n)
		throw bad_argument(name + " has " + std::to_string(t.numel()) + " elements, not " + std::to_string(n));
	at::from_blob(out, t.sizes(), at::kFloat).copy_(t);
}

int device_count(int32_t *cuda, char *err, size_t n) {
	return guard(
		err, n, [&] { *cuda = at::globalContext().hasCUDA() ? static_cast<int32_t>(at::getNumGPUs()) : 0; });
}

int create(const ss_network *net, const ss_config *config, ss_engine **out, char *err, size_t n) {
	return guard(err, n, [&] {
		auto e = std::make_unique<ss_engine>();
		e->config = configure(*config);
		if (e->config.device.is_cpu())
			keep_host_memory();
		if (e->config.device.is_cuda())
			e->stream = std::make_unique<c10::Stream>(
				c10::impl::VirtualGuardImpl(e->config.device.type())
					.getStreamFromGlobalPool(e->config.device, false));
		Here here(*e);
		if (e->config.fused)
			e->config.kernels = gpu::Kernels::find(e->config.device, e->config.why_plain);
		e->network.load(*net, e->config);
		at::NoGradGuard none;
		e->optimizer = std::make_unique<Optimizer>(e->config, e->network);
		e->loss_scale = e->config.fp16 ? first_scale : 1;
		for (Param &p : e->network.params)
			if (!p.trained())
				e->stats.push_back(p.value), e->saved_stats.push_back(at::empty_like(p.value));
		if (config->world > 1)
			e->group = std::make_unique<Group>(*config, e->config, e->network);
		if (e->config.kernels)
			e->queue = std::make_unique<gpu::Queue>(*e);
		*out = e.release();
	});
}

int predict(ss_engine *e, const ss_batch *b, int32_t ema, const ss_predictions *out, char *err, size_t n) {
	return guard(err, n, [&] {
		Here here(*e);
		at::NoGradGuard none;
		if (ema && !e->config.ema)
			throw bad_argument("predict: there are no averaged weights");
		with_room(*e, [&] {
			auto o = e->network.forward(e->config, images(*e, *b), Mode::eval, false, ema, 0);
			if (out->probabilities)
				copy_out(o.logits.softmax(1), "probabilities", out->probabilities, o.logits.numel());
			if (out->logits)
				copy_out(o.logits, "logits", out->logits, o.logits.numel());
			if (out->embedding)
				copy_out(o.embedding.to(at::kFloat), "embedding", out->embedding,
					int64_t(b->rows) * out->width);
		});
	});
}

int forward(ss_engine *e, const float *inputs, const ss_batch *b, int32_t train, uint64_t seed, float *logits,
	float **aux, char *err, size_t n) {
	return guard(err, n, [&] {
		Here here(*e);
		at::NoGradGuard none;
		int64_t s = e->network.input;
		auto x = inputs ? at::from_blob(const_cast<float *>(inputs), {b->rows, 3, s, s}, at::kFloat)
					  .to(e->config.device)
				: images(*e, *b);
		if (e->config.channels_last)
			x = x.contiguous(at::MemoryFormat::ChannelsLast);
		auto o =
			e->network.forward(e->config, x, train ? Mode::train : Mode::eval, aux != nullptr, false, seed);
		copy_out(o.logits, "logits", logits, o.logits.numel());
		for (size_t i = 0; i < o.aux.size(); i++)
			copy_out(o.aux[i], "auxiliary logits", aux[i], o.aux[i].numel());
	});
}

const ss_api table = {
	SS_ABI,
	TORCH_VERSION,
	device_count,
	create,
	[](ss_engine *e) {
		delete e;
		release_host_memory();
	},
	[](ss_engine *e, const ss_batch *b, const ss_step *s, char *err, size_t n) {
		int code = guard(err, n, [&] {
			Here here(*e);
			if (e->queue)
				return e->queue->add(*e, *b, *s);
			ss_metrics m;
			step(*e, *b, *s, m);
			e->found.push_back(m);
		});
		if (code != SS_OK)
			give_up(*e);
		return code;
	},
	[](ss_engine *e, ss_metrics *m, char *err, size_t n) {
		return guard(err, n, [&] {
			Here here(*e);
			if (e->queue) {
				e->queue->collect(*m);
				if (e->group)
					e->group->measure(*m);
				return;
			}
			if (e->found.empty())
				throw bad_argument("collect: no step was begun");
			*m = e->found.front();
			e->found.pop_front();
		});
	},
	[](ss_engine *e, const ss_batch *b, int32_t ema, ss_eval *out, char *err, size_t n) {
		return guard(err, n, [&] { with_room(*e, [&] { evaluate(*e, *b, ema != 0, *out); }); });
	},
	predict,
	[](ss_engine *e, const char *name, float *out, int64_t count, char *err, size_t n) {
		return guard(err, n, [&] {
			Here here(*e);
			at::NoGradGuard none;
			copy_out(find(*e, name), name, out, count);
		});
	},
	[](ss_engine *e, const char *name, const float *in, int64_t count, char *err, size_t n) {
		return guard(err, n, [&] {
			Here here(*e);
			at::NoGradGuard none;
			auto t = find(*e, name);
			if (t.numel() != count)
				throw bad_argument(std::string(name) + " has " + std::to_string(t.numel()) +
						   " elements, not " + std::to_string(count));
			t.copy_(at::from_blob(const_cast<float *>(in), t.sizes(), at::kFloat));
		});
	},
	[](ss_engine *e) { return e->optimizer->slots(); },
	[](ss_engine *e, int64_t *updates, double *scale, char *err, size_t n) {
		return guard(err, n, [&] {
			Here here(*e);
			if (!e->queue)
				*updates = e->optimizer->updates, *scale = e->loss_scale;
			else {
				auto s = e->queue->state();
				*updates = s.updates, *scale = s.loss_scale;
			}
		});
	},
	[](ss_engine *e, int64_t updates, double scale, char *err, size_t n) {
		return guard(err, n, [&] {
			if (updates < 0 || !(scale >= 1))
				throw bad_argument("count of updates or loss scale out of range");
			Here here(*e);
			e->optimizer->updates = updates, e->loss_scale = scale;
			if (!e->queue)
				return;
			auto s = e->queue->state();
			s.updates = updates, s.loss_scale = scale;
			e->queue->set_state(s);
		});
	},
	forward,
	[](ss_engine *e, const char *name, float *out, int64_t count, char *err, size_t n) {
		return guard(err, n, [&] {
			Here here(*e);
			at::NoGradGuard none;
			auto it = e->network.by_name.find(name);
			if (it == e->network.by_name.end())
				throw bad_argument(std::string("no parameter is named ") + name);
			auto g = e->network.params[it->second].value.grad();
			if (!g.defined())
				throw bad_argument(std::string(name) + " has no gradient");
			copy_out(g, name, out, count);
		});
	},
	[](size_t size, void **out, char *err, size_t n) {
		return guard(err, n, [&] {
			if (!at::globalContext().hasCUDA())
				throw no_device("pinned memory needs CUDA");
			*out = at::globalContext().getPinnedMemoryAllocator(at::kCUDA)->raw_allocate(size);
		});
	},
	[](void *p) {
		if (p)
			at::globalContext().getPinnedMemoryAllocator(at::kCUDA)->raw_deallocate(p);
	},
	[](ss_engine *e, int64_t *now, int64_t *peak, char *err, size_t n) {
		return guard(err, n, [&] {
			*now = *peak = 0;
			if (e->config.device.is_cpu())
				return host_memory(now, peak);
			auto all = at::accelerator::getDeviceStats(e->config.device.index()).allocated_bytes[0];
			*now = all.current, *peak = all.peak;
		});
	},
	[](ss_engine *e, double *values, int64_t count, char *err, size_t n) {
		return guard(err, n, [&] {
			Here here(*e);
			if (e->group)
				e->group->sum(values, count);
		});
	},
	[](ss_engine *e) -> const char * {
		if (e->queue)
			return e->queue->note.c_str();
		if (!e->config.fused)
			return "plain operations";
		if (e->config.device.is_cpu())
			return "fused operations";
		e->why = "plain operations: " + e->config.why_plain.substr(0, e->config.why_plain.find('\n'));
		return e->why.c_str();
	},
	[](int32_t capability, char *err, size_t n) {
		return guard(err, n, [&] { gpu::Kernels::compile_for(capability); });
	},
	[](const ss_meeting *m, char *word, size_t length, char *err, size_t n) {
		return guard(err, n, [&] { meet(*m, word, length); });
	},
};

} // namespace

namespace synshard {

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
	return counted;
}

at::Tensor normalised(const ss_engine &e, const at::Tensor &bytes) {
	auto x = bytes.permute({0, 3, 1, 2}); // NHWC in memory, which is channels_last
	x = at::addcmul(e.config.shift, x.to(at::kFloat), e.config.scale);
	return x.contiguous(e.config.channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
}

Losses losses(const ss_engine &e, const Outputs &o, const at::Tensor &y, int64_t counted) {
	// In a group a process may have nothing but padding; it takes part all the same.
	auto loss = [&](const at::Tensor &logits) { return counted ? loss_of(e, logits, y) : logits.sum() * 0; };
	Losses l;
	l.main = loss(o.logits);
	l.total = l.main;
	for (size_t i = 0; i < o.aux.size(); i++) {
		auto a = loss(o.aux[i]);
		l.aux = l.aux.defined() ? l.aux + a.detach() : a.detach();
		l.total = l.total + e.network.aux_weight[i] * a;
	}
	l.correct = o.logits.detach().argmax(1).eq(y).sum();
	return l;
}

void zero_grad(ss_engine &e) {
	for (Param &p : e.network.params)
		p.value.mutable_grad().reset();
}

} // namespace synshard

extern "C" __attribute__((visibility("default"))) const ss_api *synshard_torch_v1(void) {
	return &table;
}
