// Batch norm and ReLU in one operation on the GPU, and dropout's mask: kernels.cu's kernels over tensors.
#include "gpu.h"

namespace synshard {
namespace gpu {

namespace {

const char *type_name(const at::Tensor &t) {
	switch (t.scalar_type()) {
	case at::kFloat:
		return "f32";
	case at::kBFloat16:
		return "bf16";
	case at::kHalf:
		return "f16";
	default:
		throw std::logic_error("no kernels for this type");
	}
}

bool aligned(const at::Tensor &t) {
	return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0;
}

// Plan is how a pass over [rows, channels] is cut into blocks.
struct Plan {
	int64_t rows;
	int groups;
	std::string suffix;
	Extent grid, block;

	// stride is the distance of pixels in elements; wide says whether 16 bytes may be taken at a time.
	Plan(const Kernels &k, const at::Tensor &x, bool wide, unsigned blocks_each) {
		int64_t channels = x.size(1);
		int width = static_cast<int>(16 / x.element_size());
		wide = wide && channels % width == 0;
		rows = x.numel() / channels;
		groups = static_cast<int>(wide ? channels / width : channels);
		suffix = std::string(type_name(x)) + (wide ? "_wide" : "");
		block.x = std::min(groups, 32);
		block.y = block_threads / block.x;
		grid.x = (groups + block.x - 1) / block.x;
		int64_t most = (rows + block.y - 1) / block.y,
			want = std::max<int64_t>(1, int64_t(blocks_each) * k.multiprocessors / grid.x);
		grid.y = static_cast<unsigned>(std::min<int64_t>({most, want, 65535}));
	}
};

// Blocks for each multiprocessor: as many as are resident at once, and for passes that only stream, a few times over.
constexpr unsigned for_sums = 4, for_streams = 16;

at::Tensor scratch(const at::Tensor &x, at::IntArrayRef shape) {
	return at::empty(shape, x.options().dtype(at::kFloat).memory_format(at::MemoryFormat::Contiguous));
}

Extent columns(int64_t channels) {
	return {static_cast<unsigned>((channels + 31) / 32), 1};
}

} // namespace

at::Tensor bn_relu_forward(const Kernels &k, const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias,
	const at::Tensor &running_mean, const at::Tensor &running_var, double momentum, double eps,
	const at::Tensor &kept) {
	Plan sums(k, x, aligned(x), for_sums);
	int channels = static_cast<int>(x.size(1));
	at::Tensor partial = scratch(x, {sums.grid.y, 2, channels});
	const void *in = x.const_data_ptr();
	k.launch("bn_sums_" + sums.suffix, sums.grid, sums.block, in, static_cast<long long>(sums.rows), sums.groups,
		partial.mutable_data_ptr<float>());
	k.launch(std::string("bn_finish_") + type_name(x), columns(channels), {32, 8}, in,
		partial.const_data_ptr<float>(), static_cast<int>(sums.grid.y), channels,
		static_cast<double>(sums.rows), weight.const_data_ptr<float>(), bias.const_data_ptr<float>(),
		running_mean.mutable_data_ptr<float>(), running_var.mutable_data_ptr<float>(), momentum, eps,
		kept.mutable_data_ptr<float>());
	at::Tensor y = at::empty_like(x);
	Plan stream(k, x, aligned(x) && aligned(y), for_streams);
	k.launch("bn_apply_" + stream.suffix, stream.grid, stream.block, in, kept.const_data_ptr<float>(),
		static_cast<long long>(stream.rows), stream.groups, y.mutable_data_ptr());
	return y;
}

std::vector<at::Tensor> bn_relu_backward(
	const Kernels &k, const at::Tensor &x, const at::Tensor &dy, int64_t ld, const at::Tensor &kept) {
	int width = static_cast<int>(16 / x.element_size()), channels = static_cast<int>(x.size(1));
	bool wide = aligned(x) && aligned(dy) && ld % width == 0;
	Plan sums(k, x, wide, for_sums);
	at::Tensor partial = scratch(x, {sums.grid.y, 2, channels}), line = scratch(x, {2, channels});
	at::Tensor dw = scratch(x, {channels}), db = scratch(x, {channels}), dx = at::empty_like(x);
	const void *in = x.const_data_ptr(), *g = dy.const_data_ptr();
	const float *k4 = kept.const_data_ptr<float>();
	auto distance = [&](const Plan &p) { return static_cast<long long>(p.groups == channels ? ld : ld / width); };
	k.launch("bn_back_sums_" + sums.suffix, sums.grid, sums.block, in, g, distance(sums), k4,
		static_cast<long long>(sums.rows), sums.groups, partial.mutable_data_ptr<float>());
	k.launch("bn_back_finish_any", columns(channels), {32, 8}, partial.const_data_ptr<float>(),
		static_cast<int>(sums.grid.y), channels, static_cast<double>(sums.rows), k4,
		dw.mutable_data_ptr<float>(), db.mutable_data_ptr<float>(), line.mutable_data_ptr<float>());
	Plan stream(k, x, wide && aligned(dx), for_streams);
	k.launch("bn_back_apply_" + stream.suffix, stream.grid, stream.block, in, g, distance(stream), k4,
		line.const_data_ptr<float>(), static_cast<long long>(stream.rows), stream.groups,
		dx.mutable_data_ptr());
	return {dx, dw, db};
}

at::Tensor dropout_mask(const Kernels &k, const at::Tensor &like, double p, const Settings *settings, int node) {
	at::Tensor mask = at::empty(like.sizes(), like.options());
	long long n = mask.numel();
	Extent grid{static_cast<unsigned>(
			    std::min<int64_t>((n + block_threads - 1) / block_threads, 4 * k.multiprocessors)),
		1};
	k.launch(std::string("dropout_") + type_name(like), grid, {block_threads, 1}, settings, node,
		static_cast<float>(p), n, mask.mutable_data_ptr());
	return mask;
}

} // namespace gpu
} // namespace synshard
