// Convolutions and linear layers. They are libtorch's, which on the processor are oneDNN's, but for what is slow there:
//
//	bf16, fp16  where the processor has no arithmetic for them oneDNN has no kernels, and libtorch's own take a
//	            number at a time: computed in float32 and rounded
//	AVX2        gradients to the weights (weight_gradient.cpp)
#include "context.h"
#include "engine.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

namespace synshard {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool says(const char *question) {
	return c10::Dispatcher::singleton().findSchemaOrThrow(question, "").typed<bool()>().call();
}

at::Tensor wide(const at::Tensor &t, const Config &config) {
	return t.defined() && widens(config) ? t.to(at::kFloat) : t;
}
at::Tensor narrow(const at::Tensor &t, const Config &config) {
	return t.defined() && widens(config) ? t.to(config.compute) : t;
}

at::Tensor forward_alone(const at::Tensor &x, const at::Tensor &w, const at::Tensor &bias, at::IntArrayRef stride,
	at::IntArrayRef pad, const Config &config) {
	return narrow(at::conv2d(wide(x, config), wide(w, config), wide(bias, config), stride, pad), config);
}

struct Convolution : torch::autograd::Function<Convolution> {
	// bias is none and not undefined, which has no device.
	static at::Tensor forward(AutogradContext *ctx, const at::Tensor &x, const at::Tensor &w,
		const std::optional<at::Tensor> &bias, at::IntArrayRef stride, at::IntArrayRef pad,
		const Config *config) {
		ctx->save_for_backward({x, w});
		ctx->saved_data["stride"] = stride.vec();
		ctx->saved_data["pad"] = pad.vec();
		ctx->saved_data["biased"] = bias.has_value();
		ctx->saved_data["config"] = keep(config); // the engine's, which outlives the pass
		return forward_alone(x, w, bias.value_or(at::Tensor()), stride, pad, *config);
	}
	static variable_list backward(AutogradContext *ctx, const variable_list &dy) {
		auto saved = ctx->get_saved_variables();
		auto [dx, dw] = convolution_gradients(dy[0], saved[0], saved[1],
			ctx->saved_data["stride"].toIntVector(), ctx->saved_data["pad"].toIntVector(),
			{ctx->needs_input_grad(0), ctx->needs_input_grad(1)},
			*kept<const Config *>(ctx->saved_data["config"]));
		bool biased = ctx->saved_data["biased"].toBool() && ctx->needs_input_grad(2);
		at::Tensor db = biased ? dy[0].sum({0, 2, 3}) : at::Tensor();
		return {dx, dw, db, {}, {}, {}};
	}
};

} // namespace

bool widens(const Config &config) {
	static const bool bf16 = says("mkldnn::_is_mkldnn_bf16_supported"),
			  fp16 = says("mkldnn::_is_mkldnn_fp16_supported");
	return config.device.is_cpu() &&
		((config.compute == at::kBFloat16 && !bf16) || (config.compute == at::kHalf && !fp16));
}

std::array<at::Tensor, 2> convolution_gradients(const at::Tensor &dy_, const at::Tensor &x_, const at::Tensor &w_,
	at::IntArrayRef stride, at::IntArrayRef pad, std::array<bool, 2> wanted, const Config &config) {
	at::Tensor dy = wide(dy_, config), x = wide(x_, config), w = wide(w_, config), dx, dw, none;
	bool own = wanted[1] && weight_gradient_fits(x, w, config);
	if (wanted[0] || (wanted[1] && !own))
		std::tie(dx, dw, none) = at::convolution_backward(dy, x, w, at::OptionalIntArrayRef(), stride, pad,
			{1, 1}, false, {0, 0}, 1, {wanted[0], wanted[1] && !own, false});
	dx = narrow(dx, config);
	if (own)
		dw = weight_gradient(dy, x, w, stride, pad, config);
	return {dx, narrow(dw, config)};
}

at::Tensor convolution(const at::Tensor &x, const at::Tensor &w, const at::Tensor &bias, at::IntArrayRef stride,
	at::IntArrayRef pad, const Config &config) {
	if (at::GradMode::is_enabled() && (widens(config) || weight_gradient_fits(x, w, config)))
		return Convolution::apply(
			x, w, bias.defined() ? std::make_optional(bias) : std::nullopt, stride, pad, &config);
	return forward_alone(x, w, bias, stride, pad, config);
}

at::Tensor linear(const at::Tensor &x, const at::Tensor &w, const at::Tensor &bias, const Config &config) {
	if (!widens(config))
		return at::linear(x, w, bias);
	auto image = [](const at::Tensor &t) { return t.unsqueeze(-1).unsqueeze(-1); }; // of one pixel
	return convolution(image(x), image(w), bias, {1, 1}, {0, 0}, config).flatten(1);
}

} // namespace synshard
