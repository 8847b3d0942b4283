#include "predict.h"

#include <ATen/DeviceAccelerator.h>

namespace synshard {

namespace {

// Runs of one shape before it is recorded: cuDNN tries its algorithms in the first.
constexpr int runs_before_recording = 2;

// prepare makes weights ready. Batch norm is folded where nothing but it reads the convolution's output, or that of the
// average pool behind the convolution. model/onnx/fold.go does the same in a file; TestInferEngineTorch of cmd/synshard
// holds the two equal.
std::unique_ptr<Prepared> prepare(const Network &net, const Config &config, bool ema) {
	auto p = std::make_unique<Prepared>();
	p->of.resize(net.nodes.size());
	p->cudnn_relu = config.device.is_cuda();
	auto value = [&](const Node &n, int kind) {
		if (n.param[kind] < 0)
			return at::Tensor();
		const Param &x = net.params[n.param[kind]];
		return ema ? x.ema : x.value.detach();
	};
	for (int i = 1; i < static_cast<int>(net.nodes.size()); i++) {
		const Node &n = net.nodes[i];
		if (n.inputs.empty()) // rearranged away
			continue;
		Prepared::Weights &own = p->of[i], &before = p->of[n.inputs[0]];
		// feeds says whether only reader reads what a node gives.
		auto feeds = [&](int node, int reader) {
			return net.nodes[node].uses == 1 && net.nodes[node].last_use == reader && node != net.embedding;
		};
		const Node &reads = net.nodes[n.inputs[0]];
		const bool alone = reads.op == SS_CONV && feeds(n.inputs[0], i);
		const bool pooled = reads.op == SS_AVG_POOL && feeds(n.inputs[0], i) &&
			net.nodes[reads.inputs[0]].op == SS_CONV && feeds(reads.inputs[0], n.inputs[0]);
		switch (n.op) {
		case SS_CONV:
		case SS_LINEAR:
			own.weight = value(n, SS_WEIGHT);
			own.bias = value(n, SS_BIAS);
			break;
		case SS_BATCH_NORM: {
			if (!alone && !pooled) {
				p->apart++;
				break;
			}
			at::Tensor scale = value(n, SS_BN_WEIGHT) / (value(n, SS_RUNNING_VAR) + n.eps).sqrt();
			at::Tensor shift = value(n, SS_RUNNING_MEAN);
			before.relu = n.with_relu;
			own.done = true;
			if (pooled) {
				Prepared::Weights &convolution = p->of[reads.inputs[0]];
				convolution.weight = convolution.weight * scale.view({-1, 1, 1, 1});
				if (convolution.bias.defined())
					convolution.bias = convolution.bias * scale;
				before.shift = value(n, SS_BN_BIAS) - shift * scale;
				break;
			}
			if (before.bias.defined())
				shift = shift - before.bias;
			before.weight = before.weight * scale.view({-1, 1, 1, 1});
			before.bias = value(n, SS_BN_BIAS) - shift * scale;
			break;
		}
		case SS_RELU:
			if (alone)
				before.relu = own.done = true;
			break;
		}
	}
	for (auto &w : p->of) {
		if (w.weight.defined())
			w.weight = w.weight.to(config.compute);
		if (w.bias.defined())
			w.bias = w.bias.to(config.compute);
	}
	return p;
}

// host gives a tensor's values on the host, those of a GPU's when what its stream was given is done.
at::Tensor host(const at::Tensor &t) {
	if (t.is_cpu())
		return t.contiguous();
	return at::empty(t.sizes(), at::TensorOptions().dtype(t.dtype()).pinned_memory(true)).copy_(t, true);
}

} // namespace

Predictor::Predictor(const ss_engine &e)
    : config(e.config), images(e.config.device), can_record(gpu::Graph::possible(e.config.device)) {
	if (config.device.is_cuda() && !can_record)
		not_recorded = "built without CUDA's headers";
	describe();
}

Predictor::~Predictor() {
	if (config.device.is_cuda())
		quietly([&] { at::accelerator::synchronizeDevice(config.device.index()); });
}

void Predictor::describe() {
	note = config.fused ? "prepared weights" : "plain operations";
	if (prepared && prepared->apart)
		note += ", batch norms apart: " + std::to_string(prepared->apart);
	if (!unfused.empty())
		note += ", ReLU apart from its convolution: " + unfused;
	if (graph)
		note += ", recorded runs";
	else if (!not_recorded.empty())
		note += ", runs not recorded: " + not_recorded;
	note = note.substr(0, note.find('\n'));
}

bool Predictor::forget() {
	seen = 0;
	if (!graph)
		return false;
	if (config.device.is_cuda())
		at::accelerator::synchronizeDevice(config.device.index());
	graph.reset();
	out = {};
	if (config.device.is_cuda())
		at::accelerator::emptyCache();
	return true;
}

void Predictor::changed() {
	forget();
	prepared.reset();
}

Predictor::Result Predictor::compute(ss_engine &e, const at::Tensor &x) const {
	auto o = e.network.forward(config, x, Mode::eval, false, ema, 0, nullptr, prepared.get());
	return {o.logits.softmax(1), o.logits, o.embedding.to(at::kFloat, false, false, at::MemoryFormat::Contiguous)};
}

// compute_first is compute, and finds out what cuDNN has: convolution and ReLU in one is not there for every shape on
// every card.
Predictor::Result Predictor::compute_first(ss_engine &e, const at::Tensor &x) {
	try {
		return compute(e, x);
	} catch (const c10::Error &error) {
		if (out_of_memory(error) || !prepared || !prepared->cudnn_relu)
			throw;
		prepared->cudnn_relu = false;
		unfused = error.what_without_backtrace();
		describe();
	}
	return compute(e, x);
}

// run_recorded replays the run of this shape, or records it once the shape has come often enough.
bool Predictor::run_recorded(ss_engine &e) {
	if (!can_record)
		return false;
	if (!graph) {
		if (seen++ < runs_before_recording)
			return false;
		if (config.device.is_cuda())
			at::accelerator::emptyCache(); // the recording cannot use what other runs' memory is kept for
		auto recording = std::make_unique<gpu::Graph>();
		try {
			recording->record([this, &e] { out = compute(e, normalised(e, images.bytes)); });
		} catch (const std::exception &error) {
			can_record = false;
			not_recorded = error.what();
			describe();
			recording.reset();
			out = {};
			if (config.device.is_cuda())
				at::accelerator::emptyCache();
			return false;
		}
		graph = std::move(recording);
		describe();
	}
	graph->replay();
	return true;
}

std::unique_ptr<ss_prediction> Predictor::begin(ss_engine &e, const ss_batch &b, bool averages, int32_t wanted) {
	if (b.rows < 1 || !b.images)
		throw bad_argument("batch: no images");
	if (averages && !config.ema)
		throw bad_argument("predict: there are no averaged weights");
	if (averages != ema)
		changed();
	ema = averages;
	if (!prepared && config.fused) {
		prepared = prepare(e.network, config, ema);
		prepared->cudnn_relu = prepared->cudnn_relu && unfused.empty();
		describe();
	}
	if (can_record || config.device.is_cuda()) {
		if (!images.holds(b.rows, b.size)) {
			forget();
			images.make_room(b.rows, b.size);
		}
		images.bring(b);
		if (!run_recorded(e))
			out = compute_first(e, normalised(e, images.bytes));
	} else {
		out = compute(e, images_of(e, b));
	}
	auto p = std::make_unique<ss_prediction>();
	p->device = config.device;
	if (wanted & SS_PROBABILITIES)
		p->probabilities = host(out.probabilities);
	if (wanted & SS_LOGITS)
		p->logits = host(out.logits);
	if (wanted & SS_EMBEDDING)
		p->embedding = host(out.embedding);
	if (config.device.is_cuda()) {
		p->done = std::make_unique<c10::Event>(config.device.type());
		p->done->record(at::accelerator::getCurrentStream(config.device.index()));
	}
	if (!graph)
		out = {};
	return p;
}

} // namespace synshard
