// The table of functions: arguments checked, exceptions turned into codes and messages.
#include "predict.h"

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

// Only the allocator's own errors have a type for it; a graph that is made, a kernel that is loaded and cuBLAS' and
// cuDNN's workspaces say it in words.
bool synshard::out_of_memory(const std::exception &e) noexcept {
	if (dynamic_cast<const c10::OutOfMemoryError *>(&e) || dynamic_cast<const std::bad_alloc *>(&e))
		return true;
	auto *libtorch = dynamic_cast<const c10::Error *>(&e);
	const char *text = libtorch ? libtorch->what_without_backtrace() : e.what();
	for (const char *words : {"out of memory", "not enough memory", "ALLOC_FAILED", "ALLOCATION_FAILED"})
		if (std::strstr(text, words))
			return true;
	return false;
}

namespace {

void write_message(char *err, size_t n, const char *text) {
	if (!err || n == 0)
		return;
	size_t length = std::min(std::strcspn(text, "\n"), n - 1);
	std::memcpy(err, text, length);
	err[length] = 0;
}

// guard runs f and gives its outcome as a code and a message of one line.
template <class F> int guard(char *err, size_t n, F f) {
	try {
		f();
		return SS_OK;
	} catch (const bad_argument &e) {
		write_message(err, n, e.what());
		return SS_BAD_ARGUMENT;
	} catch (const no_device &e) {
		write_message(err, n, e.what());
		return SS_NO_DEVICE;
	} catch (const lost_peer &e) {
		write_message(err, n, e.what());
		return SS_LOST_PEER;
	} catch (const c10::Error &e) {
		write_message(err, n, e.what_without_backtrace());
		return out_of_memory(e) ? SS_OUT_OF_MEMORY : SS_ERROR;
	} catch (const std::bad_alloc &) {
		write_message(err, n, "out of memory");
		return SS_OUT_OF_MEMORY;
	} catch (const std::exception &e) {
		write_message(err, n, e.what());
		return out_of_memory(e) ? SS_OUT_OF_MEMORY : SS_ERROR;
	} catch (...) {
		write_message(err, n, "unknown exception");
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
	to.tf32 = c.precision == SS_TF32;
	to.deterministic = c.deterministic;
	to.must_record = c.must_record;
	if (c.plans < 0)
		throw bad_argument("plans: want 0 or more");
	to.plans = c.plans;
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

// settle gives libtorch the engine's settings, which are the process's or the thread's: another engine may have had its
// own since.
void settle(const Config &c) {
	if (at::get_num_threads() != c.threads)
		at::set_num_threads(c.threads);
	if (!c.device.is_cuda())
		return;
	at::Context &libtorch = at::globalContext();
	libtorch.setAllowTF32CuBLAS(c.tf32);
	libtorch.setAllowTF32CuDNN(c.tf32);
	libtorch.setBenchmarkCuDNN(!c.deterministic); // its choice is by the clock
	libtorch.setBenchmarkLimitCuDNN(c.plans);
	libtorch.setDeterministicCuDNN(c.deterministic);
	// Operations that add by atomics take another way, or, where there is none, say so once on stderr.
	libtorch.setDeterministicAlgorithms(c.deterministic, true);
}

// OnDevice makes the engine's device, stream and settings the thread's own for as long as it lives.
class OnDevice {
public:
	explicit OnDevice(const ss_engine &e) : device(e.config.device) {
		settle(e.config);
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
	} catch (const std::exception &error) {
		if (!out_of_memory(error))
			throw;
		bool steps = e.queue && e.queue->forget(), predictions = e.predictor && e.predictor->forget();
		if (!steps && !predictions)
			throw;
	}
	f();
}

// roll_back puts the engine back to where it was before a step that failed, its earlier microbatches included. A step
// that did not begin changed nothing.
void roll_back(ss_engine &e) noexcept {
	quietly([&] { // the step's own error is the one to report
		if (e.queue)
			e.queue->drop();
		while (!e.found.empty() && !e.found.back().update)
			e.found.pop_back();
		at::NoGradGuard none;
		OnDevice on(e);
		if (e.group)
			e.group->abandon();
		zero_grad(e); // half a step's gradients must not reach the next
		if (e.pending && !e.stats.empty())
			at::_foreach_copy_(e.stats, e.saved_stats);
		e.pending = false;
	});
}

// count looks at each labelled row's place among the classes.
void count(ss_engine &e, const ss_batch &b, bool ema, ss_eval &out) {
	OnDevice on(e);
	at::NoGradGuard none;
	if (ema && !e.config.ema)
		throw bad_argument("evaluate: there are no averaged weights");
	std::memset(&out, 0, sizeof out);
	out.n = check_labels(e, b);
	if (out.n == 0)
		return;
	auto y = labels_of(e, b).own;
	auto logits = e.network.forward(e.config, images_of(e, b), Mode::eval, false, ema, 0).logits;
	// The rank of the truth: how many classes are above it. A tie goes to the truth's disfavour only by a lower
	// index. Where an output is not a number nothing is right.
	auto valid = y.ge(0) & logits.isfinite().all(1);
	auto truth = logits.gather(1, y.clamp_min(0).unsqueeze(1));
	auto index = at::arange(logits.size(1), y.options()).unsqueeze(0);
	auto above = (logits.gt(truth) | (logits.eq(truth) & index.lt(y.unsqueeze(1)))).sum(1);
	out.top1 = (above.lt(1) & valid).sum().item<int64_t>();
	out.top5 = (above.lt(5) & valid).sum().item<int64_t>();
	out.loss = at::cross_entropy_loss(logits, y, {}, at::Reduction::Sum, -1, 0.0).item<double>();
}

// tensor_named gives the tensor that a name stands for, detached.
at::Tensor tensor_named(ss_engine &e, const std::string &name) {
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

// low_named gives the tensor of a name low/NAME, else one that is not defined.
at::Tensor low_named(const ss_engine &e, const std::string &name) {
	if (name.rfind("low/", 0) != 0)
		return {};
	auto it = e.network.by_name.find(name.substr(4));
	if (it == e.network.by_name.end() || !e.network.params[it->second].low.defined())
		throw bad_argument(name + " is not kept");
	return e.network.params[it->second].low;
}

void copy_out(const at::Tensor &t, const std::string &name, float *out, int64_t n) {
	if (t.numel() != n)
		throw bad_argument(name + " has " + std::to_string(t.numel()) + " elements, not " + std::to_string(n));
	at::from_blob(out, t.sizes(), at::kFloat).copy_(t);
}

// The functions of the table.

int device_count(int32_t *cuda, char *err, size_t n) {
	return guard(
		err, n, [&] { *cuda = at::globalContext().hasCUDA() ? static_cast<int32_t>(at::getNumGPUs()) : 0; });
}

int create(const ss_network *net, const ss_config *config, ss_engine **out, char *err, size_t n) {
	return guard(err, n, [&] {
		auto e = std::make_unique<ss_engine>();
		e->config = configure(*config);
		at::Device device = e->config.device;
		if (device.is_cpu())
			keep_host_memory();
		if (device.is_cuda())
			e->stream = std::make_unique<c10::Stream>(
				c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, false));
		OnDevice on(*e);
		if (device.is_cuda())
			gpu::Kernels::open_compiler();
		if (e->config.fused)
			e->config.kernels = gpu::Kernels::find(device, e->config.why_plain);
		e->network.load(*net, e->config);
		at::NoGradGuard none;
		e->optimizer = std::make_unique<Optimizer>(e->config, e->network);
		e->loss_scale = e->config.fp16 ? first_scale : 1;
		for (Param &p : e->network.params) {
			if (!p.follows())
				continue;
			e->stats.push_back(p.value);
			e->saved_stats.push_back(at::empty_like(p.value));
		}
		if (config->world > 1)
			e->group = std::make_unique<Group>(*config, e->config, e->network);
		if (e->config.kernels)
			e->queue = std::make_unique<gpu::Queue>(*e);
		*out = e.release();
	});
}

void destroy(ss_engine *e) {
	delete e;
	release_host_memory();
}

int queue(ss_engine *e, const ss_batch *b, const ss_step *s, char *err, size_t n) {
	int code = guard(err, n, [&] {
		OnDevice on(*e);
		if (e->predictor)
			e->predictor->changed();
		if (e->queue)
			return e->queue->add(*e, *b, *s);
		ss_metrics m;
		plain_step(*e, *b, *s, m);
		e->found.push_back({m, s->update != 0});
	});
	if (code != SS_OK)
		roll_back(*e);
	return code;
}

int collect(ss_engine *e, ss_metrics *m, char *err, size_t n) {
	return guard(err, n, [&] {
		OnDevice on(*e);
		if (e->queue)
			return e->queue->collect(*e, *m);
		if (e->found.empty())
			throw bad_argument("collect: no step was begun");
		*m = e->found.front().metrics;
		e->found.pop_front();
	});
}

int evaluate(ss_engine *e, const ss_batch *b, int32_t ema, ss_eval *out, char *err, size_t n) {
	return guard(err, n, [&] { with_room(*e, [&] { count(*e, *b, ema != 0, *out); }); });
}

int predict_begin(
	ss_engine *e, const ss_batch *b, int32_t ema, int32_t wanted, ss_prediction **out, char *err, size_t n) {
	return guard(err, n, [&] {
		OnDevice on(*e);
		at::NoGradGuard none;
		if (!e->predictor)
			e->predictor = std::make_unique<Predictor>(*e);
		with_room(*e, [&] { *out = e->predictor->begin(*e, *b, ema != 0, wanted).release(); });
	});
}

int predict_end(ss_prediction *p, const ss_predictions *out, char *err, size_t n) {
	auto free = [](ss_prediction *p) { gpu::Graph::between_recordings([p] { delete p; }); };
	std::unique_ptr<ss_prediction, decltype(free)> own(p, free);
	return guard(err, n, [&] {
		c10::DeviceGuard on(p->device);
		if (p->done)
			p->done->synchronize();
		auto give = [](const at::Tensor &t, const char *what, float *to, int64_t count) {
			if (!to)
				return;
			if (!t.defined() || t.numel() != count)
				throw bad_argument(std::string(what) + " of " + std::to_string(count) +
					" elements: the prediction has " + std::to_string(t.defined() ? t.numel() : 0));
			std::memcpy(to, t.const_data_ptr<float>(), t.numel() * sizeof(float));
		};
		give(p->probabilities, "probabilities", out->probabilities, int64_t(out->rows) * out->classes);
		give(p->logits, "logits", out->logits, int64_t(out->rows) * out->classes);
		give(p->embedding, "embedding", out->embedding, int64_t(out->rows) * out->width);
	});
}

int get(ss_engine *e, const char *name, float *out, int64_t count, char *err, size_t n) {
	return guard(err, n, [&] {
		OnDevice on(*e);
		at::NoGradGuard none;
		at::Tensor low = low_named(*e, name);
		copy_out(low.defined() ? low : tensor_named(*e, name), name, out, count);
	});
}

int set(ss_engine *e, const char *name, const float *in, int64_t count, char *err, size_t n) {
	return guard(err, n, [&] {
		OnDevice on(*e);
		at::NoGradGuard none;
		if (e->predictor)
			e->predictor->changed();
		auto t = tensor_named(*e, name);
		if (t.numel() != count)
			throw bad_argument(std::string(name) + " has " + std::to_string(t.numel()) + " elements, not " +
				std::to_string(count));
		t.copy_(at::from_blob(const_cast<float *>(in), t.sizes(), at::kFloat));
		if (e->queue)
			e->queue->weights_set();
	});
}

const char *const *slots(ss_engine *e) {
	return e->optimizer->slots();
}

int get_scalars(ss_engine *e, int64_t *updates, double *scale, char *err, size_t n) {
	return guard(err, n, [&] {
		OnDevice on(*e);
		if (e->queue) {
			auto s = e->queue->state();
			*updates = s.updates;
			*scale = s.loss_scale;
			return;
		}
		*updates = e->optimizer->updates;
		*scale = e->loss_scale;
	});
}

int set_scalars(ss_engine *e, int64_t updates, double scale, char *err, size_t n) {
	return guard(err, n, [&] {
		if (updates < 0 || !(scale >= 1))
			throw bad_argument("count of updates or loss scale out of range");
		OnDevice on(*e);
		e->optimizer->updates = updates;
		e->loss_scale = scale;
		if (!e->queue)
			return;
		auto s = e->queue->state();
		s.updates = updates;
		s.loss_scale = scale;
		e->queue->set_state(s);
	});
}

int forward(ss_engine *e, const float *inputs, const ss_batch *b, int32_t train, uint64_t seed, float *logits,
	float **aux, char *err, size_t n) {
	return guard(err, n, [&] {
		OnDevice on(*e);
		at::NoGradGuard none;
		int64_t s = b->size;
		auto x = inputs ? at::from_blob(const_cast<float *>(inputs), {b->rows, 3, s, s}, at::kFloat)
					  .to(e->config.device)
				: images_of(*e, *b);
		if (e->config.channels_last)
			x = x.contiguous(at::MemoryFormat::ChannelsLast);
		auto o =
			e->network.forward(e->config, x, train ? Mode::train : Mode::eval, aux != nullptr, false, seed);
		copy_out(o.logits, "logits", logits, o.logits.numel());
		for (size_t i = 0; i < o.aux.size(); i++)
			copy_out(o.aux[i], "auxiliary logits", aux[i], o.aux[i].numel());
	});
}

int gradient(ss_engine *e, const char *name, float *out, int64_t count, char *err, size_t n) {
	return guard(err, n, [&] {
		OnDevice on(*e);
		at::NoGradGuard none;
		auto it = e->network.by_name.find(name);
		if (it == e->network.by_name.end())
			throw bad_argument(std::string("no parameter is named ") + name);
		auto g = e->network.params[it->second].value.grad();
		if (!g.defined())
			throw bad_argument(std::string(name) + " has no gradient");
		copy_out(g, name, out, count);
	});
}

// The pinned allocator frees by a context of its own, not by the memory's address, so the handle is its DataPtr.
int pin_alloc(size_t size, void **out, void **handle, char *err, size_t n) {
	return guard(err, n, [&] {
		if (size == 0)
			throw bad_argument("pinned memory of 0 bytes");
		auto p = std::make_unique<c10::DataPtr>(gpu::pinned_allocator().allocate(size));
		*out = p->get();
		*handle = p.release();
	});
}

void pin_free(void *handle) {
	std::unique_ptr<c10::DataPtr> p(static_cast<c10::DataPtr *>(handle));
	if (!p)
		return;
	c10::DeleterFnPtr free = p->get_deleter();
	void *context = p->release_context();
	// DataPtr's destructor may not throw, and the allocator may.
	quietly([&] { gpu::Graph::between_recordings([&] { free(context); }); });
}

int memory(ss_engine *e, int64_t *now, int64_t *peak, char *err, size_t n) {
	return guard(err, n, [&] {
		if (e->config.device.is_cpu())
			return host_memory(now, peak);
		// Not what is allocated: the activations of a step that is replayed do not count as that.
		auto all = at::accelerator::getDeviceStats(e->config.device.index()).reserved_bytes[0];
		*now = all.current;
		*peak = all.peak;
	});
}

int count_memory_anew(ss_engine *e, char *err, size_t n) {
	return guard(err, n, [&] {
		OnDevice on(*e);
		if (e->config.device.is_cpu())
			return count_host_memory_anew(); // what is kept unused was not counted
		at::accelerator::synchronizeDevice(e->config.device.index());
		at::accelerator::emptyCache();
		at::accelerator::resetPeakStats(e->config.device.index());
	});
}

int sum(ss_engine *e, double *values, int64_t count, char *err, size_t n) {
	return guard(err, n, [&] {
		OnDevice on(*e);
		if (e->group)
			e->group->sum(values, count);
	});
}

const char *note(ss_engine *e) {
	if (e->predictor)
		return e->predictor->note.c_str();
	if (e->queue)
		return e->queue->note.c_str();
	if (!e->config.fused)
		return "plain operations";
	if (e->config.device.is_cpu()) {
		e->note = "fused operations";
		if (widens(e->config))
			e->note += ", convolutions in fp32";
		if (own_weight_gradients(e->config))
			e->note += ", own gradients of convolution weights";
		return e->note.c_str();
	}
	e->note = "plain operations: " + e->config.why_plain.substr(0, e->config.why_plain.find('\n'));
	return e->note.c_str();
}

int compile_kernels(int32_t capability, char *err, size_t n) {
	return guard(err, n, [&] { gpu::Kernels::compile_for(capability); });
}

int meet(const ss_meeting *m, char *word, size_t length, char *err, size_t n) {
	return guard(err, n, [&] { synshard::meet(*m, word, length); });
}

void abort(ss_engine *e) {
	if (e->group)
		e->group->abort();
}

int card(int32_t device, char *id, size_t size, char *err, size_t n) {
	return guard(err, n, [&] { write_message(id, size, card_of(device).c_str()); });
}

int memory_of_card(int32_t device, int64_t *free, int64_t *total, char *err, size_t n) {
	return guard(err, n, [&] { card_memory(device, free, total); });
}

int capability_of_card(int32_t device, int32_t *capability, char *err, size_t n) {
	return guard(err, n, [&] {
		if (!at::globalContext().hasCUDA())
			throw no_device("no CUDA device, or a libtorch without CUDA");
		*capability = gpu::Kernels::capability(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device)));
	});
}

int profile(int32_t device, int32_t on, char *err, size_t n) {
	return guard(err, n, [&] { profile_card(device, on); });
}

const ss_api table = {
	.abi = SS_ABI,
	.torch_version = TORCH_VERSION,
	.device_count = device_count,
	.create = create,
	.destroy = destroy,
	.queue = queue,
	.collect = collect,
	.evaluate = evaluate,
	.predict_begin = predict_begin,
	.predict_end = predict_end,
	.get = get,
	.set = set,
	.slots = slots,
	.get_scalars = get_scalars,
	.set_scalars = set_scalars,
	.forward = forward,
	.gradient = gradient,
	.pin_alloc = pin_alloc,
	.pin_free = pin_free,
	.memory = memory,
	.count_memory_anew = count_memory_anew,
	.sum = sum,
	.note = note,
	.compile_kernels = compile_kernels,
	.meet = meet,
	.abort = abort,
	.card = card,
	.card_memory = memory_of_card,
	.card_capability = capability_of_card,
	.profile = profile,
};

} // namespace

extern "C" __attribute__((visibility("default"))) const ss_api *synshard_torch_v1(void) {
	return &table;
}
