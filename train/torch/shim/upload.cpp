// Images on their way to a GPU.
#include "gpu.h"

#include <ATen/DeviceAccelerator.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace synshard {
namespace gpu {

Upload::Upload(const at::Device &device) : device(device) {
	if (!device.is_cuda())
		return;
	copies = std::make_unique<c10::Stream>(
		c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, false));
	for (auto &s : staged)
		s = std::make_unique<c10::Event>(device.type());
}

void Upload::make_room(int64_t rows, int64_t side) {
	auto options = at::TensorOptions().device(device).dtype(at::kByte);
	std::vector<int64_t> shape{rows, side, side, 3};
	at::Tensor place = at::empty(shape, options), by[2];
	for (auto &t : by)
		t = copies ? at::empty(shape, options) : place;
	bytes = std::move(place);
	for (int i = 0; i < 2; i++)
		staging[i] = std::move(by[i]);
	if (!copies)
		return;
	// This memory may still be read by work under way, whose stream the copies do not follow.
	c10::Event free(device.type());
	free.record(at::accelerator::getCurrentStream(device.index()));
	free.block(*copies);
}

void Upload::bring(const ss_batch &b) {
	at::Tensor images = at::from_blob(const_cast<uint8_t *>(b.images), bytes.sizes(), at::kByte);
	if (!copies) {
		bytes.copy_(images);
		return;
	}
	int place = turn++ & 1;
	c10::Stream main = at::accelerator::getCurrentStream(device.index());
	c10::Event landed(device.type());
	{
		c10::StreamGuard on(*copies);
		if (staged[place]->was_marked_for_recording())
			staged[place]->block(*copies);
		staging[place].copy_(images, true);
		landed.record(*copies);
	}
	landed.block(main);
	bytes.copy_(staging[place], true);
	staged[place]->record(main);
	landed.synchronize(); // the loader fills this memory again
}

} // namespace gpu
} // namespace synshard
