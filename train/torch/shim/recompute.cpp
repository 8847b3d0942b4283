// Activations computed again in the backward pass: the network is cut into segments, of which only the inputs are kept.
#include "context.h"
#include "engine.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

namespace synshard {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Segment : torch::autograd::Function<Segment> {
	static variable_list forward(
		AutogradContext *ctx, at::TensorList inputs, std::shared_ptr<const SegmentRun> run) {
		at::NoGradGuard none;
		variable_list in = inputs.vec();
		ctx->saved_data["run"] = keep(run);
		ctx->save_for_backward(in);
		return (*run)(in, true);
	}
	static variable_list backward(AutogradContext *ctx, const variable_list &grads) {
		auto run = kept<std::shared_ptr<const SegmentRun>>(ctx->saved_data["run"]);
		variable_list in, given;
		for (const at::Tensor &t : ctx->get_saved_variables())
			in.push_back(t.detach().requires_grad_(t.requires_grad()));
		variable_list out;
		{
			at::AutoGradMode grad(true);
			out = (*run)(in, false);
		}
		variable_list roots;
		for (size_t i = 0; i < out.size(); i++)
			if (grads[i].defined() && out[i].requires_grad()) {
				roots.push_back(out[i]);
				given.push_back(grads[i]);
			}
		torch::autograd::backward(roots, given); // into the parameters, and into in
		variable_list to;
		for (const at::Tensor &t : in)
			to.push_back(t.grad());
		to.emplace_back(); // run has none
		return to;
	}
};

} // namespace

variable_list run_segment(const variable_list &in, std::shared_ptr<const SegmentRun> run) {
	return Segment::apply(at::TensorList(in), run);
}

// cuts gives the first node of each segment. A cut is where few activations are alive, so that little is kept; the
// number of segments is near the square root of the number of nodes, where the sum of what is kept and what a
// segment holds while it is run again is least.
std::vector<int> Network::cuts(int last) const {
	int length = std::max<int>(4, static_cast<int>(std::sqrt(static_cast<double>(last)) / 2));
	std::vector<int> alive(last + 2, 0); // at the cut before node i
	for (int n = 1; n <= last; n++)
		for (int i = n + 1; i <= std::min(nodes[n].last_use, last); i++)
			alive[i]++;
	std::vector<int> at{1};
	for (int i = 2; i <= last; i++)
		if (i - at.back() >= length && alive[i] <= 1)
			at.push_back(i);
	return at;
}

} // namespace synshard
