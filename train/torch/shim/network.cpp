// The network: the node table turned into parameters, and run.
#include "predict.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <c10/core/GradMode.h>

namespace synshard {

namespace {

const char *kind_name(int kind) {
	static const char *names[] = {"weight", "bias", "BN weight", "BN bias", "running mean", "running variance"};
	return kind >= 0 && kind < 6 ? names[kind] : "unknown kind";
}

// Masks of dropout have x's shape, with 0 and 1/(1-p). Both are kernels.h's dropout_at, a function of seed, node and
// place alone, here on the processor and in kernels.cu's dropout on a GPU, where the seed lies too.
at::Tensor mask_cpu(const at::Tensor &like, double p, uint64_t seed, int node) {
	auto mask = at::empty(like.sizes(), at::kFloat);
	float *to = mask.mutable_data_ptr<float>();
	for (int64_t i = 0; i < mask.numel(); i++)
		to[i] = gpu::dropout_at(seed, node, i, static_cast<float>(p));
	return mask.to(like.options());
}

at::Tensor mask_gpu(const gpu::Kernels &k, const at::Tensor &like, double p, const gpu::Settings *settings, int node) {
	at::Tensor mask = at::empty(like.sizes(), like.options());
	long long n = mask.numel();
	gpu::Extent grid{static_cast<unsigned>(std::min<int64_t>(
				 (n + gpu::block_threads - 1) / gpu::block_threads, 4 * k.multiprocessors)),
		1};
	k.launch(std::string("dropout_") + gpu::type_name(like), grid, {gpu::block_threads, 1}, settings, node,
		static_cast<float>(p), n, mask.mutable_data_ptr());
	return mask;
}

at::Tensor dropout_mask(const Config &config, const at::Tensor &x, double p, const Pass &pass, int node) {
	if (pass.settings)
		return mask_gpu(*config.kernels, x, p, pass.settings, node);
	return mask_cpu(x, p, pass.seed, node);
}

// run_prepared runs a convolution or a linear layer with prepared weights.
at::Tensor run_prepared(
	const Config &config, const Node &n, const at::Tensor &x, const Prepared &p, const Prepared::Weights &w) {
	if (n.op == SS_LINEAR)
		return linear(x, w.weight, w.bias, config);
	if (w.relu && p.cudnn_relu)
		return at::cudnn_convolution_relu(x, w.weight, w.bias, n.stride, n.pad, {1, 1}, 1);
	at::Tensor y = convolution(x, w.weight, w.bias, n.stride, n.pad, config);
	return w.relu ? y.relu_() : y;
}

} // namespace

void Network::load(const ss_network &n, const Config &config) {
	if (n.n_nodes < 2 || n.n_params < 1 || n.logits <= 0 || n.logits >= n.n_nodes)
		throw bad_argument("network: no nodes, no parameters or no logits");
	logits = n.logits;
	embedding = n.embedding;
	classes = n.classes;
	nodes.resize(n.n_nodes);
	for (int i = 0; i < n.n_nodes; i++) {
		const ss_node &from = n.nodes[i];
		Node &to = nodes[i];
		to.op = from.op;
		to.inputs.assign(from.inputs, from.inputs + from.n_inputs);
		for (int in : to.inputs) {
			if (in < 0 || in >= i)
				throw bad_argument(
					"network: node " + std::to_string(i) + " reads node " + std::to_string(in));
		}
		if (from.op < SS_INPUT || from.op > SS_FLATTEN || (from.op == SS_INPUT) != (i == 0) ||
			(i > 0 && to.inputs.empty()))
			throw bad_argument(
				"network: node " + std::to_string(i) + ": operation " + std::to_string(from.op));
		for (int d = 0; d < 2; d++) {
			to.kernel[d] = from.kernel[d];
			to.stride[d] = from.stride[d];
			to.pad[d] = from.pad[d];
			to.size[d] = from.size[d];
		}
		to.ceil_mode = from.ceil_mode;
		to.count_include_pad = from.count_include_pad;
		to.eps = from.eps;
		to.p = from.p;
		to.alpha = from.alpha;
		to.beta = from.beta;
		to.k = from.k;
		std::fill(std::begin(to.param), std::end(to.param), -1);
	}
	params.resize(n.n_params);
	for (int i = 0; i < n.n_params; i++) {
		const ss_param &from = n.params[i];
		Param &to = params[i];
		to.name = from.name;
		to.kind = from.kind;
		to.node = from.node;
		to.rate = from.rate;
		if (!(from.rate >= 0) || !std::isfinite(from.rate))
			throw bad_argument("parameter " + to.name + ": rate " + std::to_string(from.rate));
		if (from.node < 1 || from.node >= n.n_nodes || from.kind < 0 || from.kind > SS_RUNNING_VAR ||
			from.rank < 1 || from.rank > 4)
			throw bad_argument("parameter " + to.name + ": " + kind_name(from.kind) + " of node " +
				std::to_string(from.node));
		to.shape.assign(from.shape, from.shape + from.rank);
		auto format = from.rank == 4 && config.channels_last ? at::MemoryFormat::ChannelsLast
								     : at::MemoryFormat::Contiguous;
		to.value = at::zeros(to.shape, at::kFloat).to(config.device).contiguous(format);
		if (to.trained())
			to.value.requires_grad_(true);
		if (config.ema)
			to.ema = at::zeros_like(to.value);
		nodes[from.node].param[from.kind] = i;
		if (!by_name.emplace(to.name, i).second)
			throw bad_argument("parameter " + to.name + " is there twice");
	}
	for (int i = 0; i < n.n_aux; i++) {
		if (n.aux[i] < 1 || n.aux[i] >= n.n_nodes)
			throw bad_argument("network: auxiliary head at node " + std::to_string(n.aux[i]));
		aux.push_back(n.aux[i]);
		aux_weight.push_back(n.aux_weight[i]);
	}
	if (n.class_weight) {
		class_weight = at::empty({classes}, at::kFloat);
		for (int i = 0; i < classes; i++) {
			if (!(n.class_weight[i] > 0) || !std::isfinite(n.class_weight[i]))
				throw bad_argument(
					"class " + std::to_string(i) + ": weight " + std::to_string(n.class_weight[i]));
			class_weight.mutable_data_ptr<float>()[i] = static_cast<float>(n.class_weight[i]);
		}
		class_weight = class_weight.to(config.device);
	}
	link();
	if (config.fused)
		rearrange();
}

void Network::keep_low(const Config &config) {
	auto make = [&](std::vector<int64_t> shape) {
		auto format = shape.size() == 4 && config.channels_last ? at::MemoryFormat::ChannelsLast
									: at::MemoryFormat::Contiguous;
		return at::empty(
			shape, at::TensorOptions().dtype(config.compute).device(config.device).memory_format(format));
	};
	for (Node &n : nodes) {
		if (n.merged.empty())
			continue;
		auto weight = [&](int i) -> Param & { return params[nodes[i].param[SS_WEIGHT]]; };
		std::vector<int64_t> shape = weight(n.merged[0]).shape;
		shape[0] = 0;
		for (int i : n.merged)
			shape[0] += weight(i).shape[0];
		n.merged_low = make(shape);
		int64_t from = 0;
		for (int i : n.merged) {
			weight(i).low = n.merged_low.narrow(0, from, weight(i).shape[0]);
			from += weight(i).shape[0];
		}
	}
	for (Param &p : params) {
		int op = nodes[p.node].op;
		if ((op == SS_CONV || op == SS_LINEAR) && !p.low.defined())
			p.low = make(p.shape);
	}
}

void Network::run(const Config &config, int index, Values &v, const Pass &pass) const {
	if (v.out[index].defined())
		return;
	const Node &n = nodes[index];
	auto trained = [&](int i) { return trains(nodes[i]); };
	if (n.merged.size() > 1 && pass.mode == Mode::train && fuses(v.out[n.inputs[0]], config) &&
		std::all_of(n.merged.begin(), n.merged.end(), trained))
		run_merged(config, n, v, pass);
	else
		v.out[index] = output(config, index, v, pass);
}

void Network::run_merged(const Config &config, const Node &n, Values &v, const Pass &pass) const {
	std::vector<at::Tensor> weights;
	auto gradient = std::make_shared<Wide>();
	for (int i : n.merged) {
		weights.push_back(params[nodes[i].param[SS_WEIGHT]].value);
		v.gradient[i] = {gradient, gradient->channels};
		gradient->channels += nodes[i].channels;
	}
	auto out = merged_convolutions(
		v.out[n.inputs[0]], weights, pass.settings ? n.merged_low : at::Tensor(), gradient, config);
	for (size_t i = 0; i < out.size(); i++)
		v.out[n.merged[i]] = out[i];
}

bool Network::trains(const Node &n) const {
	return std::any_of(
		std::begin(n.param), std::end(n.param), [&](int i) { return i >= 0 && params[i].trained(); });
}

Place Network::in_concat(const Node &n, Values &v) const {
	if (n.concat < 0)
		return {};
	auto &wide = v.concat[n.concat];
	if (!wide)
		wide = std::make_shared<Wide>(Wide{nodes[n.concat].channels, {}});
	return {wide, n.concat_from};
}

at::Tensor Network::output(const Config &config, int index, Values &v, const Pass &pass) const {
	const Node &n = nodes[index];
	const std::vector<at::Tensor> &outs = v.out;
	const at::Tensor &x = outs[n.inputs[0]];
	if (pass.prepared && pass.prepared->of[index].done)
		return x;
	if (pass.prepared && pass.prepared->of[index].weight.defined())
		return run_prepared(config, n, x, *pass.prepared, pass.prepared->of[index]);
	auto param = [&](int kind) {
		if (n.param[kind] < 0)
			throw bad_argument("node " + std::to_string(index) + " has no " + kind_name(kind));
		const Param &p = params[n.param[kind]];
		return pass.ema ? p.ema : p.value;
	};
	// What is computed with in the network's precision; batch norm keeps its own in float32.
	auto cast = [&](int kind) {
		if (n.param[kind] < 0)
			return at::Tensor();
		const Param &p = params[n.param[kind]];
		return pass.settings && p.low.defined() ? lowered(p.value, p.low) : param(kind).to(config.compute);
	};
	switch (n.op) {
	case SS_CONV: {
		at::Tensor w = cast(SS_WEIGHT);
		if (w.size(1) < x.size(1)) // images with channels that are 0
			w = at::constant_pad_nd(w, {0, 0, 0, 0, 0, x.size(1) - w.size(1)});
		return convolution(x, w, cast(SS_BIAS), n.stride, n.pad, config);
	}
	case SS_BATCH_NORM: {
		BatchNorm bn{param(SS_BN_WEIGHT), param(SS_BN_BIAS), param(SS_RUNNING_MEAN), param(SS_RUNNING_VAR),
			pass.bn_momentum, n.eps, pass.mode == Mode::train, n.with_relu, in_concat(n, v),
			v.gradient[n.inputs[0]]};
		bn.training = bn.training && !params[n.param[SS_RUNNING_MEAN]].frozen();
		return batch_norm(x, bn, config);
	}
	case SS_RELU:
		if (n.done)
			return x;
		if (nodes[n.inputs[0]].uses > 1 || n.inputs[0] < pass.first)
			return at::relu(x);
		{
			at::Tensor y = x; // nobody else reads it, and no backward formula before a ReLU needs its input
			return y.relu_();
		}
	case SS_MAX_POOL:
	case SS_AVG_POOL: {
		Pool p{n.op == SS_MAX_POOL, n, pass.mode != Mode::eval, in_concat(n, v), v.gradient[n.inputs[0]]};
		if (pass.prepared) {
			p.shift = pass.prepared->of[index].shift;
			p.least = pass.prepared->of[index].relu ? 0 : p.least;
		}
		return pool(x, p, config);
	}
	case SS_GLOBAL_AVG_POOL: {
		std::array<int64_t, 2> size{std::max<int64_t>(n.size[0], 1), std::max<int64_t>(n.size[1], 1)};
		if (pass.mode == Mode::eval || size[0] > 1 || size[1] > 1 || !fuses(x, config))
			return at::adaptive_avg_pool2d(x, size);
		// libtorch's gradient has the channels outermost, and is copied by each part of a concatenation.
		Node whole = n;
		for (int d = 0; d < 2; d++) {
			whole.kernel[d] = whole.stride[d] = x.size(d + 2);
			whole.pad[d] = 0;
		}
		return pool(x, Pool{false, whole, true, {}, v.gradient[n.inputs[0]]}, config);
	}
	case SS_CONCAT: {
		std::vector<at::Tensor> parts;
		for (int in : n.inputs)
			parts.push_back(outs[in]);
		if (auto wide = std::move(v.concat[index]); wide && wide->all.defined())
			return joined(parts, wide);
		return at::cat(parts, 1);
	}
	case SS_ADD:
		return outs[n.inputs.at(0)] + outs[n.inputs.at(1)];
	case SS_LINEAR:
		return linear(x, cast(SS_WEIGHT), cast(SS_BIAS), config);
	case SS_DROPOUT:
		return pass.mode == Mode::eval || n.p <= 0 ? x : x * dropout_mask(config, x, n.p, pass, index);
	case SS_LRN: {
		auto squares = at::constant_pad_nd(
			x.to(at::kFloat).square().unsqueeze(1), {0, 0, 0, 0, n.size[0] / 2, (n.size[0] - 1) / 2});
		auto mean = at::avg_pool3d(squares, {n.size[0], 1, 1}, 1).squeeze(1);
		return x / mean.mul(n.alpha).add(n.k).pow(n.beta).to(x.scalar_type());
	}
	case SS_FLATTEN:
		return x.flatten(1);
	}
	throw bad_argument("node " + std::to_string(index) + ": operation " + std::to_string(n.op));
}

Outputs Network::forward(const Config &config, at::Tensor x, Mode mode, bool with_aux, bool ema, uint64_t seed,
	const gpu::Settings *settings, const Prepared *prepared) const {
	Values v(nodes.size());
	std::vector<at::Tensor> &outs = v.out;
	outs[0] = x.to(config.compute);
	std::vector<int> results{logits};
	if (with_aux)
		results.insert(results.end(), aux.begin(), aux.end());
	int last = *std::max_element(results.begin(), results.end());
	std::vector<bool> wanted = needed(results);
	Outputs o;
	Pass pass{mode, ema, seed, settings, config.bn_momentum, 1, prepared};
	if (config.recompute && at::GradMode::is_enabled()) {
		forward_segments(config, v, wanted, last, pass);
	} else {
		for (int i = 1; i <= last; i++) {
			if (!wanted[i])
				continue;
			run(config, i, v, pass);
			if (i == embedding && mode == Mode::eval)
				o.embedding = outs[i].flatten(1);
			for (int in : nodes[i].inputs)
				if (nodes[in].last_use == i)
					outs[in].reset();
		}
	}
	o.logits = outs[logits].to(at::kFloat);
	if (with_aux)
		for (int a : aux)
			o.aux.push_back(outs[a].to(at::kFloat));
	return o;
}

void Network::forward_segments(
	const Config &config, Values &v, const std::vector<bool> &wanted, int last, const Pass &whole) const {
	std::vector<at::Tensor> &outs = v.out;
	std::vector<int> starts = cuts(last);
	// A function of nothing that needs a gradient would have no backward pass.
	at::Tensor anchor = at::zeros({1}, outs[0].options().dtype(at::kFloat)).requires_grad_(true);
	for (size_t s = 0; s < starts.size(); s++) {
		int from = starts[s], to = s + 1 < starts.size() ? starts[s + 1] : last + 1;
		std::vector<int> reads, gives;
		std::vector<bool> read(nodes.size(), false);
		bool gradients = false;
		for (int i = from; i < to; i++) {
			if (!wanted[i])
				continue;
			gradients = gradients || trains(nodes[i]);
			for (int in : nodes[i].inputs)
				if (in < from && !read[in]) {
					read[in] = true;
					reads.push_back(in);
				}
			if (nodes[i].last_use >= to)
				gives.push_back(i);
		}
		auto segment = [this, &config, from, to, reads, gives, wanted, whole](
				       const std::vector<at::Tensor> &in, bool first) {
			Pass pass = whole;
			pass.first = from;
			if (!first)
				pass.bn_momentum = 0; // running statistics have had this batch
			Values local(nodes.size());
			std::vector<at::Tensor> out;
			for (size_t i = 0; i < reads.size(); i++)
				local.out[reads[i]] = in[i];
			for (int i = from; i < to; i++) {
				if (!wanted[i])
					continue;
				run(config, i, local, pass);
				for (int r : nodes[i].inputs)
					if (nodes[r].last_use == i)
						local.out[r].reset();
			}
			for (int g : gives)
				out.push_back(local.out[g]);
			return out;
		};
		std::vector<at::Tensor> in;
		for (int r : reads) {
			in.push_back(outs[r]);
			gradients = gradients || outs[r].requires_grad();
		}
		in.push_back(anchor);
		auto out = gradients ? run_segment(in, std::make_shared<const SegmentRun>(segment)) : segment(in, true);
		for (size_t i = 0; i < gives.size(); i++)
			outs[gives[i]] = out[i];
		for (int r : reads)
			if (nodes[r].last_use < to)
				outs[r].reset();
	}
}

} // namespace synshard
