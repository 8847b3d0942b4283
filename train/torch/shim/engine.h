// The engine's parts, as the files of this directory share them.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/Stream.h>

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "synshard_torch.h"

namespace synshard {

namespace gpu {
class Kernels;
class Queue;
struct Settings;
} // namespace gpu

class Predictor;
struct Prepared;

// Growth of fp16's loss scale: doubled after so many good steps, halved by an overflow.
constexpr int64_t scale_interval = 2000;
constexpr double first_scale = 65536, largest_scale = 1 << 24;

// bad_argument is a mistake of the caller's.
struct bad_argument : std::runtime_error {
	using std::runtime_error::runtime_error;
};

// no_device says that a device was asked for that is not there.
struct no_device : std::runtime_error {
	using std::runtime_error::runtime_error;
};

// lost_peer says that another process of the group is gone.
struct lost_peer : std::runtime_error {
	using std::runtime_error::runtime_error;
};

// quietly runs what may fail where nothing can be done about that: on the way out, or behind an error.
template <class F> void quietly(F f) noexcept {
	try {
		f();
	} catch (...) {
	}
}

// out_of_memory says whether an error is that memory ran out, whichever library found that.
bool out_of_memory(const std::exception &) noexcept;

struct Param {
	std::string name;
	int32_t kind = 0, node = 0;
	std::vector<int64_t> shape;
	double rate = 1;              // times the learning rate; 0: frozen
	at::Tensor value;             // float32, on the device; conv weights in the network's memory format
	at::Tensor ema;               // undefined without EMA
	std::vector<at::Tensor> slot; // of the optimiser; empty for what is not trained
	// value in the network's precision, where it lies as value does and gpu::Update keeps it; else undefined.
	at::Tensor low;

	bool frozen() const { return rate == 0; }
	bool statistic() const { return kind == SS_RUNNING_MEAN || kind == SS_RUNNING_VAR; }
	bool trained() const { return !statistic() && !frozen(); }
	bool follows() const { return statistic() && !frozen(); } // the batches
	bool decayed() const { return kind == SS_WEIGHT; }
};

struct Node {
	int32_t op = 0;
	std::vector<int32_t> inputs;
	int64_t kernel[2], stride[2], pad[2], size[2];
	bool ceil_mode = false, count_include_pad = false;
	double eps = 0, p = 0, alpha = 0, beta = 0, k = 0;
	int param[6];               // index by kind, -1: none
	int last_use = 0, uses = 0; // by other nodes; the network's outputs are used last of all
	int64_t channels = 0;       // of its output; 0: of no image
	bool with_relu = false;     // batch norm: gives the output of the ReLU behind it, which then has nothing to do
	bool done = false;          // ReLU: its input comes from such a node
	std::vector<int> merged;    // 1x1 convolution: those of the same input that are computed with it, itself first
	at::Tensor merged_low;      // their weights' low, one after the other
	int concat = -1;            // batch norm and pools: whose part the output is to be, at this channel
	int64_t concat_from = 0;
};

struct Config {
	at::Device device{at::kCPU};
	at::ScalarType compute = at::kFloat;
	bool fp16 = false, channels_last = true, nesterov = false, ema = false, recompute = false, fused = true,
	     tf32 = false, deterministic = false, must_record = false;
	int optimizer = SS_RMSPROP, threads = 1, plans = 10;
	double momentum, rho, eps, beta1, beta2, weight_decay, label_smoothing, clip_norm, clip_value, bn_momentum;
	at::Tensor scale, shift;               // [1, 3, 1, 1]: normalised = byte * scale + shift
	const gpu::Kernels *kernels = nullptr; // of the device; none: plain operations
	std::string why_plain;                 // where there are none
};

enum class Mode { train, train_frozen_bn, eval };

// SegmentRun computes a segment's outputs from its inputs; first is false when it is done again.
using SegmentRun = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor> &, bool first)>;

struct Outputs {
	at::Tensor logits;
	std::vector<at::Tensor> aux;
	at::Tensor embedding; // of an evaluation, flat
};

// Pass is what a run through the nodes goes by.
struct Pass {
	Mode mode = Mode::eval;
	bool ema = false;
	uint64_t seed = 0;
	const gpu::Settings *settings = nullptr; // on the device, with the seed that counts; none: seed counts
	double bn_momentum = 0;
	int first = 1;                      // node; what comes from before it may not be changed
	const Prepared *prepared = nullptr; // of an evaluation: its weights; none: the parameters
};

// Wide is a tensor of images that is written part by part, a part being some of its channels: a concatenation, or the
// gradient of several convolutions computed as one. It is made when the first part is.
struct Wide {
	int64_t channels = 0;
	at::Tensor all;

	at::Tensor part(int64_t from, int64_t channels) const; // its memory
};

// Place is where a tensor is to be made: anywhere, or as a part of a wide one.
struct Place {
	std::shared_ptr<Wide> wide;
	int64_t from = 0;

	at::Tensor like(const at::Tensor &x) const; // makes a tensor of x's shape and type there
	at::Tensor sized(const at::Tensor &x, int64_t height, int64_t width) const; // of another size
};

// Values is what a pass has computed so far, by node.
struct Values {
	std::vector<at::Tensor> out;
	std::vector<std::shared_ptr<Wide>> concat; // of concatenations that are made in place
	std::vector<Place> gradient;               // of convolutions that were merged

	explicit Values(size_t nodes) : out(nodes), concat(nodes), gradient(nodes) {}
};

// Network is the node table with its parameters.
struct Network {
	std::vector<Node> nodes;
	std::vector<Param> params;
	std::unordered_map<std::string, int> by_name;
	std::vector<int32_t> aux;
	std::vector<double> aux_weight;
	at::Tensor class_weight; // float32 [classes], on the device; undefined: all alike
	int32_t logits = 0, embedding = 0, classes = 0;

	void load(const ss_network &, const Config &);
	void keep_low(const Config &); // makes every low; what is in them is the caller's to write
	// x is normalised, float32. ema takes the averaged weights.
	Outputs forward(const Config &, at::Tensor x, Mode, bool with_aux, bool ema, uint64_t seed,
		const gpu::Settings * = nullptr, const Prepared * = nullptr) const;

private:
	void rearrange(); // the node table, for speed; what it computes stays the same
	void link();      // fills in who uses whose output
	std::vector<bool> needed(const std::vector<int> &wanted) const; // by node: whether it is computed for these
	// run computes a node, unless it was computed with another.
	void run(const Config &, int index, Values &, const Pass &) const;
	at::Tensor output(const Config &, int index, Values &, const Pass &) const;
	void run_merged(const Config &, const Node &, Values &, const Pass &) const;
	Place in_concat(const Node &, Values &) const;
	bool trains(const Node &) const; // any of its parameters
	std::vector<int> cuts(int last) const;
	void forward_segments(const Config &, Values &, const std::vector<bool> &wanted, int last, const Pass &) const;
};

// Optimizer holds what an update needs beside the gradients.
class Optimizer {
public:
	Optimizer(const Config &, Network &);
	// Updates parameters and EMA from the gradients times scale. Gives the
	// gradients' global norm before clipping (after the scale); not finite: nothing was changed.
	double update(Network &, double lr, double ema_decay, double scale);
	int64_t updates = 0;
	const char *const *slots() const;

private:
	void fused(Param &, const at::Tensor &grad, double lr, double ema_decay, double scale) const;
	void foreach (Network &, double rate, double lr, double ema_decay, double scale) const;
	const Config &config;
};

// convolution and linear are at::conv2d and at::linear as they are fastest here (convolution.cpp).
at::Tensor convolution(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias, at::IntArrayRef stride,
	at::IntArrayRef pad, const Config &);
at::Tensor linear(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias, const Config &);
// convolution_gradients gives those wanted of the gradients to x and to weight.
std::array<at::Tensor, 2> convolution_gradients(const at::Tensor &dy, const at::Tensor &x, const at::Tensor &weight,
	at::IntArrayRef stride, at::IntArrayRef pad, std::array<bool, 2> wanted, const Config &);
// widens says whether they are computed in float32 as the processor has no arithmetic for the network's precision.
bool widens(const Config &);

// weight_gradient is a convolution's, by a product of our own; own_weight_gradients says whether this processor has it
// better so, weight_gradient_fits whether it is made for such images and weights.
at::Tensor weight_gradient(const at::Tensor &dy, const at::Tensor &x, const at::Tensor &weight, at::IntArrayRef stride,
	at::IntArrayRef pad, const Config &);
bool own_weight_gradients(const Config &);
bool weight_gradient_fits(const at::Tensor &x, const at::Tensor &weight, const Config &);

// lowered is a float32 weight in x's precision as it lies in low; the gradient is weight's.
at::Tensor lowered(const at::Tensor &weight, const at::Tensor &low);

// merged_convolutions gives the outputs of 1x1 convolutions of x by float32 weights, which lie in x's precision in low,
// if that is defined. Whoever knows a Place in gradient may make their gradients there.
std::vector<at::Tensor> merged_convolutions(const at::Tensor &x, const std::vector<at::Tensor> &weights,
	const at::Tensor &low, std::shared_ptr<Wide> gradient, const Config &);

// joined is the concatenation of parts along channels, in wide, where some were made.
at::Tensor joined(const std::vector<at::Tensor> &parts, std::shared_ptr<Wide>);

// BatchNorm is one such node: its parameters, and how it is run.
struct BatchNorm {
	at::Tensor weight, bias, running_mean, running_var; // float32; the latter two are updated in training
	double momentum, eps;
	bool training;
	bool relu;              // gives the output of the ReLU behind it
	Place output, gradient; // where they are made, if the fused path makes them
};
at::Tensor batch_norm(const at::Tensor &x, const BatchNorm &, const Config &);
// fuses says whether training's passes over x are ours and not libtorch's.
bool fuses(const at::Tensor &x, const Config &);

// Pool is a node of max or average pooling, and how it is run.
struct Pool {
	bool maximum;
	const Node &node;
	bool training;
	Place output, gradient; // as BatchNorm's
	// Of an average in an evaluation: float32, added by channel, and what is then below least is made that.
	at::Tensor shift{};
	float least = -std::numeric_limits<float>::infinity();
};
at::Tensor pool(const at::Tensor &x, const Pool &, const Config &);

// run_segment runs a segment, keeping its inputs alone, and how it is run, for the backward pass.
std::vector<at::Tensor> run_segment(const std::vector<at::Tensor> &in, std::shared_ptr<const SegmentRun>);

// Group is the processes that train together.
class Group {
public:
	Group(const ss_config &, const Config &, Network &);
	~Group();
	// begin is called before the backward pass whose gradients are to be summed, and figures with them, in place.
	void begin(Network &, bool share_stats, const at::Tensor &figures);
	// finish, after it, returns when all of it is exchanged, whole, and gives the seconds waited. Nothing is
	// exchanged after that.
	double finish(Network &);
	void abandon();             // after a step that broke off
	void measure(ss_metrics &); // how long the last step's exchange took; all that step gave the device is done
	void sum(double *values, int64_t n);
	void abort() noexcept; // from any thread: exchanges end, now and from now on

private:
	struct State;
	std::unique_ptr<State> state;
};

void meet(const ss_meeting &, char *word, size_t n); // store.cpp

std::string card_of(int32_t device); // what tells it from every other card (cards.cpp)
void card_memory(int32_t device, int64_t *free, int64_t *total);
void profile_card(int32_t device, bool on);

// Host memory freed by tensors is kept for the next ones (allocator.cpp). It is libtorch's one allocator of the
// process.
void keep_host_memory();    // the peak is counted from here
void release_host_memory(); // what is kept and unused goes back to the system
void count_host_memory_anew();
void host_memory(int64_t *now, int64_t *peak);

} // namespace synshard

struct ss_engine {
	struct Found {
		ss_metrics metrics;
		bool update; // it ended a step
	};
	synshard::Config config;
	synshard::Network network;
	std::unique_ptr<synshard::Optimizer> optimizer;
	std::unique_ptr<synshard::Group> group;     // none: alone
	std::vector<at::Tensor> stats, saved_stats; // running statistics that change, and as they were before the step
	bool pending = false;                       // gradients wait for an update
	at::Tensor figures;                         // of a group: what the step under way found so far
	double loss_scale = 1;
	int64_t good_steps = 0;              // since the loss scale last changed
	std::unique_ptr<c10::Stream> stream; // of the device, for all this engine does
	std::unique_ptr<synshard::gpu::Queue>
		queue;           // the GPU's path through a step; it then keeps loss scale and count of updates
	std::deque<Found> found; // by the plain path's steps, until they are asked for
	std::unique_ptr<synshard::Predictor> predictor; // of the first prediction
	std::string note;                               // how steps are computed, as it was last asked for
};

namespace synshard {

// What both ways to compute a step are made of (step.cpp).
struct Losses {
	// Scalars on the device. aux is undefined without auxiliary heads; entropy is main without label smoothing and
	// class weights.
	at::Tensor total, main, aux, entropy, correct;
};
// Labels are a batch's, on the device. share, of own, and other are defined where images are mixtures.
struct Labels {
	at::Tensor own, other, share;
};
int64_t check_labels(const ss_engine &, const ss_batch &);         // counts those of 0 and more
at::Tensor normalised(const ss_engine &, const at::Tensor &bytes); // [rows, side, side, 3] to [rows, 3, side, side]
Losses losses(const ss_engine &, const Outputs &, const Labels &, int64_t counted);
void report_group(const double *figures, ss_metrics &); // what the group's whole step found
void zero_grad(ss_engine &);
at::Tensor images_of(const ss_engine &, const ss_batch &); // on the device, normalised
Labels labels_of(const ss_engine &, const ss_batch &);     // check_labels has seen them
void plain_step(ss_engine &, const ss_batch &, const ss_step &, ss_metrics &);

} // namespace synshard
