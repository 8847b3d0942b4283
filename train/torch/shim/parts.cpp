// The 1x1 convolutions at a block's entry computed as one: the input is read once and not by each branch, its gradient
// is one product and not a sum of four, and the matrices are large. What the branches get are the channels of one
// tensor, read where they lie; they write their gradients into one tensor too. The weights stay apart, but in the
// network's precision, where those are kept, they lie one after the other.
#include "context.h"
#include "engine.h"

#include <torch/csrc/autograd/custom_function.h>

namespace synshard {

at::Tensor Wide::part(int64_t from, int64_t n) const {
	std::vector<int64_t> shape = all.sizes().vec();
	shape[1] = n;
	// A tensor of its own on the same memory: a view's gradient would be a copy as wide as all.
	return at::empty({0}, all.options())
		.set_(all.storage(), all.storage_offset() + from * all.stride(1), shape, all.strides());
}

at::Tensor Place::like(const at::Tensor &x) const {
	return sized(x, x.size(2), x.size(3));
}

at::Tensor Place::sized(const at::Tensor &x, int64_t height, int64_t width) const {
	auto make = [&](int64_t channels) {
		return at::empty({x.size(0), channels, height, width},
			x.options().memory_format(at::MemoryFormat::ChannelsLast));
	};
	if (!wide)
		return make(x.size(1));
	if (!wide->all.defined())
		wide->all = make(wide->channels);
	return wide->part(from, x.size(1));
}

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// bring brings a part to its place, if it was not made there.
void bring(const Wide &wide, int64_t from, int64_t n, const at::Tensor &part) {
	at::Tensor place = wide.part(from, n);
	if (!part.defined())
		place.zero_();
	else if (part.const_data_ptr() != place.const_data_ptr())
		place.copy_(part);
}

struct Lowered : torch::autograd::Function<Lowered> {
	static at::Tensor forward(AutogradContext *, const at::Tensor &, std::shared_ptr<const at::Tensor> low) {
		return low->detach();
	}
	static variable_list backward(AutogradContext *, const variable_list &dy) { return {dy[0].to(at::kFloat), {}}; }
};

struct Merged : torch::autograd::Function<Merged> {
	static variable_list forward(AutogradContext *ctx, const at::Tensor &x, at::TensorList weights,
		std::shared_ptr<const at::Tensor> low, std::shared_ptr<Wide> gradient, const Config *config) {
		at::Tensor w = low->defined()
			? low->detach()
			: at::cat(weights, 0).to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
		Wide y{w.size(0), convolution(x, w, {}, {1, 1}, {0, 0}, *config)};
		std::vector<int64_t> channels;
		variable_list out;
		int64_t from = 0;
		for (const at::Tensor &part : weights) {
			channels.push_back(part.size(0));
			out.push_back(y.part(from, part.size(0)));
			from += part.size(0);
		}
		ctx->save_for_backward({x, w});
		ctx->saved_data["gradient"] = keep(gradient);
		ctx->saved_data["channels"] = channels;
		ctx->saved_data["config"] = keep(config); // the engine's, which outlives the pass
		return out;
	}
	static variable_list backward(AutogradContext *ctx, const variable_list &dy) {
		auto saved = ctx->get_saved_variables();
		auto gradient = kept<std::shared_ptr<Wide>>(ctx->saved_data["gradient"]);
		auto channels = ctx->saved_data["channels"].toIntVector();
		const at::Tensor &x = saved[0];
		Place{gradient, 0}.like(x.narrow(1, 0, 1)); // if no branch made it
		int64_t from = 0;
		for (size_t i = 0; i < dy.size(); from += channels[i++])
			bring(*gradient, from, channels[i], dy[i]);
		auto [dx, dw] = convolution_gradients(gradient->all, x, saved[1], {1, 1}, {0, 0},
			{ctx->needs_input_grad(0), true}, *kept<const Config *>(ctx->saved_data["config"]));
		gradient->all.reset();
		variable_list d{dx};
		at::Tensor exact = dw.to(at::kFloat);
		from = 0;
		for (int64_t n : channels) {
			d.push_back(exact.narrow(0, from, n));
			from += n;
		}
		d.resize(d.size() + 3); // low, gradient and config have none
		return d;
	}
};

struct Joined : torch::autograd::Function<Joined> {
	static at::Tensor forward(AutogradContext *ctx, at::TensorList parts, std::shared_ptr<Wide> wide) {
		std::vector<int64_t> channels;
		int64_t from = 0;
		for (const at::Tensor &part : parts) {
			bring(*wide, from, part.size(1), part);
			channels.push_back(part.size(1));
			from += part.size(1);
		}
		ctx->saved_data["channels"] = channels;
		return wide->all;
	}
	static variable_list backward(AutogradContext *ctx, const variable_list &dy) {
		variable_list d;
		int64_t from = 0;
		for (int64_t n : ctx->saved_data["channels"].toIntVector()) {
			d.push_back(dy[0].narrow(1, from, n));
			from += n;
		}
		d.emplace_back(); // wide has none
		return d;
	}
};

} // namespace

at::Tensor lowered(const at::Tensor &weight, const at::Tensor &low) {
	return Lowered::apply(weight, std::make_shared<const at::Tensor>(low));
}

std::vector<at::Tensor> merged_convolutions(const at::Tensor &x, const std::vector<at::Tensor> &weights,
	const at::Tensor &low, std::shared_ptr<Wide> gradient, const Config &config) {
	return Merged::apply(x, at::TensorList(weights), std::make_shared<const at::Tensor>(low), gradient, &config);
}

at::Tensor joined(const std::vector<at::Tensor> &parts, std::shared_ptr<Wide> wide) {
	return Joined::apply(at::TensorList(parts), wide);
}

} // namespace synshard
