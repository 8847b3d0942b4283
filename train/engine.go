package train

import (
	"errors"
	"time"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
)

// ErrOutOfMemory marks a step that did not fit the device. The engine's state
// is what it was before the step.
var ErrOutOfMemory = errors.New("out of memory")

// ErrPeerLost marks a step, or a meeting, that another process of the group did
// not come to.
var ErrPeerLost = errors.New("another process of the group is lost")

// ErrNoDevice marks a device that this libtorch or this machine lacks.
var ErrNoDevice = errors.New("no such device")

// Engine does the arithmetic of training. It is for one goroutine at a time.
type Engine interface {
	// Step updates the weights from one batch, of EngineConfig.Batch rows. What is
	// random in it is a function of s.Seed, so that a step is a pure function of
	// the state, the batch and s. Rows with label -1 take no part. After an error
	// the state is what it was before, or State says that this is not sure.
	Step(b *loader.Batch, s Step) (Metrics, error)
	// Evaluate runs the main head over a batch of any number of rows, with the
	// averaged weights if ema is set. Rows with label -1 are not counted.
	Evaluate(b *loader.Batch, ema bool) (EvalMetrics, error)
	// State gives everything that a later engine needs to go on: parameters
	// and running statistics by their names, then ema/NAME, opt/SLOT/NAME and
	// scalars, all float32 in the parameters' shapes. After a step that failed
	// it is the state before that step, or an error where that is not sure.
	State() ([]model.Tensor, error)
	// SetState takes any subset of what State gives. An unknown name or a
	// wrong shape is an error. Averages that are kept and of which none is given
	// begin as the weights given.
	SetState([]model.Tensor) error
	// Close frees the engine. Nothing else may be called after it.
	Close() error
}

// Step is what changes from step to step: the learning rate, the decay of the
// averaged weights, and the seed of all that is random.
type Step struct {
	Seed     uint64  // of dropout, and of all else that is drawn
	LR       float64 // learning rate, of this step alone
	EMADecay float64 // ema = EMADecay*ema + (1-EMADecay)*weights
	FreezeBN bool    // batch norm by its running statistics, which stay as they are
}

// Metrics is what a step found, before its update. Losses are means over the
// batch, with label smoothing and class weights, in nats.
type Metrics struct {
	Loss, MainLoss, AuxLoss float64 // Loss = MainLoss + the weighted auxiliary losses
	CrossEntropy            float64 // the main head's, without either: the mean of what EvalMetrics.Loss sums up
	GradNorm                float64 // global L2 norm before clipping
	Correct, Counted        int     // top-1 of the main head over the rows with a label
	Overflow                bool    // of fp16: no update was made

	// Where the host's time went. On a GPU work is only queued, and most of the
	// time shows where the step waits for it, in Update. Group is the wait for
	// other processes' gradients after the backward pass.
	Forward, Backward, Group, Update time.Duration

	// Exchange is how long gradients were on their way to and from other
	// processes, much of it during the backward pass.
	Exchange time.Duration
}

// EvalMetrics counts over the labelled rows of a batch. Loss is the sum of
// cross-entropies, without smoothing.
type EvalMetrics struct {
	N, Top1, Top5 int     // rows: counted, right, right among the first five
	Loss          float64 // in nats
}

// Group places a process among those that train one network together, each on
// its own share of every batch. The zero value is a process alone. Every process
// makes the same calls; gradients are summed over the labelled rows of all
// shares, running statistics averaged, Metrics those of the whole batch.
type Group struct {
	Rank, World int           // this process, from 0, of so many; World 0 or 1 is alone
	Host        string        // this process's own address, where it listens for the others' gradients
	Store       Store         // where the processes leave each other their addresses; this process's own end
	Timeout     time.Duration // for connecting and for any exchange; 0 is 5 minutes
}

// Store is where the processes of a group leave each other small values under
// names. It is for any number of goroutines at a time.
type Store interface {
	Do(StoreCall) (StoreAnswer, error) // does what is asked; see StoreOp
}

// StoreOp is one of the things a Store does.
type StoreOp int

// What a Store does. A counter is a value too: its number in decimal.
const (
	StoreSet    StoreOp = iota // Value
	StoreGet                   // waits, up to Timeout, until the name is there; gives Value
	StoreAdd                   // Number to the counter; gives Number, the sum
	StoreCheck                 // gives Number 1 if the name is there
	StoreDelete                // gives Number 1 if the name was there
	StoreCount                 // gives Number, how many names there are
)

// StoreCall is one operation on a Store.
type StoreCall struct {
	Op      StoreOp       // which operation
	Key     string        // what it is about
	Value   []byte        // what is set
	Number  int64         // what is added
	Timeout time.Duration // how long a wait may last
}

// StoreAnswer is what one came to.
type StoreAnswer struct {
	Value  []byte // what was set
	Number int64  // the sum, or 1 and 0 for yes and no
}

// Meeting is a store of libtorch's that a launcher keeps at an address, and the
// name under which a group uses it.
type Meeting struct {
	Addr    string        // a name or an address
	Port    int           // TCP
	Name    string        // tells this group from others at the same store
	Rank    int           // this process's, from 0
	Timeout time.Duration // above 0; then rank 0 is ErrPeerLost
}

// EngineConfig is what an engine is built with. The optimisers' formulas are
// recipe.Optimizer's.
type EngineConfig struct {
	Device       string // "cpu", "cuda" or "cuda:N"; one that is not there is ErrNoDevice
	Precision    string // fp32, tf32, bf16 or fp16 (with dynamic loss scaling)
	Threads      int    // for arithmetic on the CPU, at least 1
	Batch        int    // images a step, of this process
	Accumulate   int    // microbatches a step is worked through in; 0 means 1; it divides Batch
	ChannelsLast bool   // activations and weights lie as NHWC in memory
	Recompute    bool   // compute activations again in the backward pass, to save memory
	Unfused      bool   // plain operations instead of fused ones; what the fused are compared with
	// Deterministic has a GPU choose its algorithms by rule and not by the clock,
	// so that the same steps give the same bits, more slowly. The CPU's are so
	// anyway, for one count of threads.
	Deterministic bool
	// AllPlans has a GPU try all of cuDNN's plans for each convolution, not the first
	// ten by its own order; not together with Deterministic, which tries none.
	AllPlans bool
	// MustRecord has a GPU's step that could be recorded but for want of memory end in
	// ErrOutOfMemory, where it would be taken unrecorded: for trying what fits.
	MustRecord bool
	Group      Group // this process among those that train together

	Optimizer            string     // rmsprop, sgd or adamw
	Momentum, Decay, Eps float64    // Decay is rmsprop's rho
	Beta1, Beta2         float64    // of adamw
	Nesterov             bool       // of sgd
	WeightDecay          float64    // on convolution and linear weights only
	LabelSmoothing       float64    // share of a label spread evenly over all classes
	ClipNorm, ClipValue  float64    // of the global L2 norm, of each element; 0 is off
	EMA                  bool       // averages of the weights are kept, see Step.EMADecay
	BNMomentum           float64    // weight of the newest batch in the running statistics
	Mean, Std            [3]float64 // red, green, blue, of pixels scaled to 0..1

	// Rates are what the learning rate of parameters is multiplied by, by name; those not
	// named have 1. One with 0 is frozen: it stays as it is, no gradient of it is computed,
	// it has no optimiser state, and batch norm goes by frozen running statistics.
	Rates map[string]float64
	// ClassWeights, one a class and above 0, make of each loss the mean weighted by those of
	// the labels, as PyTorch's CrossEntropyLoss does; nil: the plain mean.
	ClassWeights []float64
}

// Frozen says whether a parameter is (Rates).
func (c *EngineConfig) Frozen(name string) bool {
	rate, ok := c.Rates[name]
	return ok && rate == 0
}
