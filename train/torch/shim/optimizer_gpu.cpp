// The update on the GPU: one pass over memory, one launch for all parameters, and no word with the host about it.
#include "gpu.h"

#include <cstring>

namespace synshard {
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
		static_cast<float>(c.clip_value), c.nesterov};
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
		if (!p.trained() && !config.ema)
			continue;
		if (parts.back().params.size() == launch_gradients) {
			end_part();
			parts.emplace_back();
		}
		auto data = [](const at::Tensor &t) { return t.defined() ? t.mutable_data_ptr<float>() : nullptr; };
		Entry e{p.value.detach().mutable_data_ptr<float>(), nullptr, nullptr, data(p.ema), p.value.numel(), -1,
			p.decayed()};
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
			if (g.strides() != p.value.strides()) {
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
