// Prediction: the main head in evaluation, begun on the engine's thread and ended on any.
#pragma once

#include "gpu.h"

struct ss_prediction {
	at::Tensor probabilities, logits, embedding; // float32, on the host; undefined: not wanted
	at::Device device{at::kCPU};
	std::unique_ptr<c10::Event> done; // of a GPU; none: it is
};

namespace synshard {

// Prepared are weights made ready for evaluation: in the network's precision, batch norm folded into the convolution
// before it, with the ReLU behind. Where an average pool stands between the two, the pool adds what batch norm adds: a
// convolution's bias would be averaged with the padding.
struct Prepared {
	struct Weights {
		at::Tensor weight, bias; // of convolutions and linear layers
		at::Tensor shift;        // of average pools: what batch norm behind one adds, float32
		bool relu = false;       // gives the output of the ReLU behind it
		bool done = false;       // this node has nothing to do
	};
	std::vector<Weights> of; // by node
	bool cudnn_relu = false; // convolution and ReLU are one operation of cuDNN's
	int apart = 0;           // batch norms that are not folded
};

// Predictor keeps what predictions have in common: prepared weights and, on a GPU, the recorded run of one shape.
// Images go up on a stream of their own, so that a batch's copy overlaps the run of the one before.
class Predictor {
public:
	explicit Predictor(const ss_engine &);
	~Predictor(); // waits for what was begun
	std::unique_ptr<ss_prediction> begin(ss_engine &, const ss_batch &, bool ema, int32_t wanted);
	bool forget();    // gives the recording's memory back; false if there is none
	void changed();   // the weights are no longer what they were
	std::string note; // how predictions are computed

private:
	struct Result {
		at::Tensor probabilities, logits, embedding; // on the device
	};
	Result compute(ss_engine &, const at::Tensor &images) const;
	Result compute_first(ss_engine &, const at::Tensor &images);
	bool run_recorded(ss_engine &);
	void describe();

	const Config &config;
	bool ema = false;
	std::unique_ptr<Prepared> prepared; // none: the parameters as they are
	std::string unfused;                // why convolution and ReLU are two operations
	gpu::Upload images;
	int seen = 0; // runs in a row of this shape
	bool can_record = false;
	std::string not_recorded; // why, where it could be but for that
	std::unique_ptr<gpu::Graph> graph;
	Result out; // of the last run, in the recording's memory
};

} // namespace synshard
