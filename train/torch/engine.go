package torch

/*
#include <stdlib.h>
#include "synshard_torch.h"

extern int synshardStoreCall(uintptr_t, ss_store_call *, char *, size_t);
static void ss_use_store(ss_config *c, uintptr_t handle) {
	c->store.context = handle;
	c->store.call = synshardStoreCall;
}
static void ss_abort(const ss_api *a, ss_engine *g) {
	a->abort(g);
}
static int ss_create(const ss_api *a, const ss_network *n, const ss_config *c, ss_engine **o, char *e, size_t l) {
	return a->create(n, c, o, e, l);
}
static void ss_destroy(const ss_api *a, ss_engine *g) {
	a->destroy(g);
}
static int ss_queue(const ss_api *a, ss_engine *g, const uint8_t *images, const int64_t *labels, const int64_t *others, const float *shares, int32_t rows, int32_t size, const ss_step *s, char *e, size_t l) {
	ss_batch b = {.images = images, .labels = labels, .others = others, .shares = shares, .rows = rows, .size = size};
	return a->queue(g, &b, s, e, l);
}
static int ss_collect(const ss_api *a, ss_engine *g, ss_metrics *m, char *e, size_t l) {
	return a->collect(g, m, e, l);
}
static const char *ss_note(const ss_api *a, ss_engine *g) {
	return a->note(g);
}
static int ss_evaluate(const ss_api *a, ss_engine *g, const uint8_t *images, const int64_t *labels, int32_t rows, int32_t size, int32_t ema, ss_eval *o, char *e, size_t l) {
	ss_batch b = {.images = images, .labels = labels, .rows = rows, .size = size};
	return a->evaluate(g, &b, ema, o, e, l);
}
static int ss_forward(const ss_api *a, ss_engine *g, const float *in, int32_t rows, int32_t size, int32_t train, uint64_t seed, float *logits, float *aux0, float *aux1, char *e, size_t l) {
	ss_batch b = {.rows = rows, .size = size};
	float *aux[2] = {aux0, aux1};
	return a->forward(g, in, &b, train, seed, logits, aux0 ? aux : 0, e, l);
}
static int ss_sum(const ss_api *a, ss_engine *g, double *v, int64_t n, char *e, size_t l) {
	return a->sum(g, v, n, e, l);
}
static const char *ss_slot(const ss_api *a, ss_engine *g, int i) {
	return a->slots(g)[i];
}
static int ss_memory(const ss_api *a, ss_engine *g, int64_t *now, int64_t *peak, char *e, size_t l) {
	return a->memory(g, now, peak, e, l);
}
static int ss_count_memory_anew(const ss_api *a, ss_engine *g, char *e, size_t l) {
	return a->count_memory_anew(g, e, l);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime/cgo"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train"
)

// Engine trains one network on one device: a train.Engine and a train.Queue, for
// one goroutine at a time, but for Predict. All its work is done on one thread (threads says
// which). Errors are train.ErrOutOfMemory, train.ErrPeerLost, train.ErrNoDevice or
// libtorch's own.
type Engine struct {
	shim   *Shim
	net    *model.Network
	cfg    train.EngineConfig
	params []model.Param
	handle *C.ss_engine
	slots  []string
	queued []underWay // steps
	work   thread
	free   func()       // of the thread
	store  cgo.Handle   // of its group; 0: none
	ended  atomic.Bool  // by Abort
	fits   atomic.Int64 // the size of images, in pixels, that were last found to fit the network
}

// underWay is a step that was begun.
type underWay struct {
	shares  []portion // of each microbatch in the whole batch's means
	counted int       // labelled rows of all processes
	group   bool      // what it finds is the group's
}

var (
	precisions = []string{"fp32", "tf32", "bf16", "fp16"}       // ss_precision
	optimizers = []string{"rmsprop", "sgd", "adamw"}            // ss_optimizer
	_          = [1]struct{}{}[int(model.Flatten)-C.SS_FLATTEN] // the operations are numbered alike
)

// New builds an engine for a network. Parameters are zero until SetState. With a
// group it waits for the group's other processes.
func (s *Shim) New(net *model.Network, cfg train.EngineConfig) (*Engine, error) {
	cfg.Accumulate = max(cfg.Accumulate, 1)
	if cfg.Batch < 1 || cfg.Batch%cfg.Accumulate != 0 {
		return nil, fmt.Errorf("new engine: batch %d cannot be worked through in %d microbatches", cfg.Batch, cfg.Accumulate)
	}
	config, err := cConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("new engine: %w", err)
	}
	e := &Engine{shim: s, net: net, cfg: cfg, params: net.Params()}
	e.fits.Store(int64(net.Input))
	e.work, e.free = s.threads.of(cfg.Device)
	var mem arena
	defer mem.free()
	cnet, err := mem.network(net, e.params, &cfg)
	if err != nil {
		e.free()
		return nil, fmt.Errorf("new engine: %w", err)
	}
	config.device = mem.str(cfg.Device)
	if g := cfg.Group; g.World > 1 {
		if g.Store == nil {
			e.free()
			return nil, errors.New("new engine: a group without a store")
		}
		if g.Timeout == 0 {
			g.Timeout = 5 * time.Minute
		}
		if err := s.checkCard(cfg.Device, g); err != nil {
			e.free()
			return nil, fmt.Errorf("new engine: %w", err)
		}
		config.rank, config.world, config.host = C.int32_t(g.Rank), C.int32_t(g.World), mem.str(g.Host)
		config.timeout_s = C.double(g.Timeout.Seconds())
		e.store = storeOf(g.Store)
		C.ss_use_store(&config, C.uintptr_t(e.store))
	}
	if err := e.call("new engine", func(m *C.char, n C.size_t) C.int { return C.ss_create(s.api, cnet, &config, &e.handle, m, n) }); err != nil {
		e.free()
		e.forgetStore()
		return nil, err
	}
	for i := 0; ; i++ {
		slot := C.ss_slot(s.api, e.handle, C.int(i))
		if slot == nil {
			return e, nil
		}
		e.slots = append(e.slots, C.GoString(slot))
	}
}

// NewEngine is New behind the interface.
func (s *Shim) NewEngine(net *model.Network, cfg train.EngineConfig) (train.Engine, error) {
	e, err := s.New(net, cfg)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Close frees the engine. It gives no error and may be called more than once;
// nothing else may be called after it.
func (e *Engine) Close() error {
	if e.handle != nil {
		e.on(func() { C.ss_destroy(e.shim.api, e.handle) })
		e.handle = nil
		e.free()
		e.forgetStore()
	}
	return nil
}

// forgetStore gives the store's handle back, unless threads of an aborted group's
// may still call it.
func (e *Engine) forgetStore() {
	if e.store != 0 && !e.ended.Load() {
		e.store.Delete()
	}
	e.store = 0
}

// Abort ends the exchange with other processes that is under way, and any later
// one, with train.ErrPeerLost. It may be called, before Close, while another
// goroutine waits for a step.
func (e *Engine) Abort() {
	if e.ended.CompareAndSwap(false, true) {
		C.ss_abort(e.shim.api, e.handle)
	}
}

// on runs f on the engine's thread.
func (e *Engine) on(f func()) { e.work.run(f) }

func (e *Engine) call(what string, f func(*C.char, C.size_t) C.int) (err error) {
	e.on(func() { err = call(what, f) })
	return err
}

// Step implements train.Engine. With Accumulate the batch is worked through in
// microbatches whose gradients add up to the whole batch's, batch norm apart.
func (e *Engine) Step(b *loader.Batch, s train.Step) (train.Metrics, error) {
	return e.step(b, s, true)
}

// accumulate adds a batch's gradients to those there are and makes no update.
func (e *Engine) accumulate(b *loader.Batch) (train.Metrics, error) {
	return e.step(b, train.Step{}, false)
}

func (e *Engine) step(b *loader.Batch, s train.Step, update bool) (train.Metrics, error) {
	if len(e.queued) > 0 {
		return train.Metrics{}, fmt.Errorf("step: %d steps are under way and not collected", len(e.queued))
	}
	if err := e.submit(b, s, update); err != nil {
		return train.Metrics{}, err
	}
	return e.Collect()
}

// Depth implements train.Queue: a GPU works while the host prepares its next
// step. A group waits for the count of labels before each step.
func (e *Engine) Depth() int {
	if e.cfg.Device == "cpu" || e.cfg.Group.World > 1 {
		return 0
	}
	return 1
}

// Note says in a few words how steps are computed.
func (e *Engine) Note() (note string) {
	e.on(func() { note = C.GoString(C.ss_note(e.shim.api, e.handle)) })
	return note
}

// Submit implements train.Queue.
func (e *Engine) Submit(b *loader.Batch, s train.Step) error { return e.submit(b, s, true) }

func (e *Engine) submit(b *loader.Batch, s train.Step, update bool) error {
	if err := e.checkBatch(b); err != nil {
		return fmt.Errorf("step: %w", err)
	}
	spans := microbatches(b.Labels, e.cfg.Accumulate)
	all := e.weigh(b, span{0, len(b.Labels)})
	total := []float64{all.loss, all.rows}
	if e.cfg.Group.World > 1 {
		if err := e.Sum(total); err != nil {
			return fmt.Errorf("step: %w", err)
		}
		if total[1] == 0 {
			return errors.New("step: every label of every process is -1")
		}
	}
	var shares []portion
	for i, p := range spans {
		part := e.weigh(b, p)
		if total[1] > 0 {
			part.loss, part.rows = part.loss/total[0], part.rows/total[1]
		}
		step := C.ss_step{seed: C.uint64_t(s.Seed + uint64(i)<<48), lr: C.double(s.LR), ema_decay: C.double(s.EMADecay),
			grad_scale: C.double(part.loss), row_share: C.double(part.rows), update: flag(update && i == len(spans)-1), freeze_bn: flag(s.FreezeBN)}
		r := rowsOf(b, p.from, p.to)
		err := e.call("step", func(t *C.char, n C.size_t) C.int {
			return C.ss_queue(e.shim.api, e.handle, r.images, r.labels, r.others, r.shares, r.n, r.size, &step, t, n)
		})
		if err != nil {
			return err
		}
		shares = append(shares, part)
	}
	e.queued = append(e.queued, underWay{shares, int(total[1]), update && e.cfg.Group.World > 1})
	return nil
}

// Collect implements train.Queue.
func (e *Engine) Collect() (train.Metrics, error) {
	if len(e.queued) == 0 {
		return train.Metrics{}, errors.New("collect: no step is under way")
	}
	step := e.queued[0]
	e.queued = e.queued[1:]
	return e.collect(step)
}

// collect waits for a step's microbatches. What a group's processes found was summed
// before the update: a step is either made by all who live, with its figures, or by
// none.
func (e *Engine) collect(step underWay) (sum train.Metrics, err error) {
	var m C.ss_metrics
	for _, share := range step.shares {
		err := e.call("step", func(t *C.char, n C.size_t) C.int { return C.ss_collect(e.shim.api, e.handle, &m, t, n) })
		if err != nil {
			return sum, err
		}
		sum.Loss += share.loss * float64(m.loss)
		sum.MainLoss += share.loss * float64(m.main_loss)
		sum.AuxLoss += share.loss * float64(m.aux_loss)
		sum.CrossEntropy += share.rows * float64(m.cross_entropy)
		sum.Correct += int(m.correct)
		sum.Counted += int(m.counted)
		sum.GradNorm, sum.Overflow = float64(m.grad_norm), m.skipped != 0
		sum.Forward += seconds(m.forward_s)
		sum.Backward += seconds(m.backward_s)
		sum.Group += seconds(m.group_s)
		sum.Update += seconds(m.update_s)
		sum.Exchange += seconds(m.exchange_s)
	}
	if step.group {
		sum.Loss, sum.MainLoss, sum.AuxLoss = float64(m.group_loss), float64(m.group_main_loss), float64(m.group_aux_loss)
		sum.CrossEntropy, sum.Correct, sum.Counted = float64(m.group_cross_entropy), int(m.group_correct), step.counted
	}
	return sum, nil
}

func seconds(s C.double) time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// Sum adds values up over the group's processes, in place; every process must
// call it with as many. Alone it changes nothing. An exact evaluation over a
// split is each process's counts, summed.
func (e *Engine) Sum(values []float64) error {
	if len(values) == 0 {
		return nil
	}
	return e.call("sum over the group", func(t *C.char, n C.size_t) C.int {
		return C.ss_sum(e.shim.api, e.handle, (*C.double)(&values[0]), C.int64_t(len(values)), t, n)
	})
}

// Evaluate implements train.Engine.
func (e *Engine) Evaluate(b *loader.Batch, ema bool) (train.EvalMetrics, error) {
	if err := e.checkBatch(b); err != nil {
		return train.EvalMetrics{}, fmt.Errorf("evaluate: %w", err)
	}
	var m C.ss_eval
	r := rowsOf(b, 0, len(b.Labels))
	err := e.call("evaluate", func(t *C.char, n C.size_t) C.int {
		return C.ss_evaluate(e.shim.api, e.handle, r.images, r.labels, r.n, r.size, flag(ema), &m, t, n)
	})
	return train.EvalMetrics{N: int(m.n), Top1: int(m.top1), Top5: int(m.top5), Loss: float64(m.loss)}, err
}

// forwardOptions say how forward runs the network.
type forwardOptions struct {
	Training bool   // batch norm by the batch, with dropout
	Aux      bool   // the auxiliary heads' logits too
	Seed     uint64 // of dropout
}

// forward runs the network over normalised float32 images [rows, 3, input,
// input] and gives the logits of the main head and, if asked for, of the
// auxiliary ones, [rows, classes] each.
func (e *Engine) forward(inputs []float32, rows int, o forwardOptions) ([][]float32, error) {
	if len(inputs) != rows*3*e.net.Input*e.net.Input || rows < 1 {
		return nil, fmt.Errorf("forward: %d values for %d images of %d pixels", len(inputs), rows, e.net.Input)
	}
	out := [][]float32{make([]float32, rows*e.net.Classes)}
	var p [2]*C.float
	if o.Aux {
		for i := range e.net.Aux {
			out = append(out, make([]float32, rows*e.net.Classes))
			p[i] = (*C.float)(&out[i+1][0])
		}
	}
	err := e.call("forward", func(t *C.char, n C.size_t) C.int {
		return C.ss_forward(e.shim.api, e.handle, (*C.float)(&inputs[0]), C.int32_t(rows), C.int32_t(e.net.Input), flag(o.Training), C.uint64_t(o.Seed), (*C.float)(&out[0][0]), p[0], p[1], t, n)
	})
	return out, err
}

// Memory gives the memory held and the most that was, in bytes, since the
// process began or CountMemoryAnew: on a GPU the device's, with what recorded
// steps keep; on the CPU this process's tensors.
func (e *Engine) Memory() (now, peak int64, err error) {
	var a, b C.int64_t
	err = e.call("memory", func(t *C.char, n C.size_t) C.int { return C.ss_memory(e.shim.api, e.handle, &a, &b, t, n) })
	return int64(a), int64(b), err
}

// CountMemoryAnew lets Memory's peak begin here: after the first steps, in which
// a GPU's algorithms were tried in memory that is not needed again.
func (e *Engine) CountMemoryAnew() error {
	return e.call("count memory", func(t *C.char, n C.size_t) C.int { return C.ss_count_memory_anew(e.shim.api, e.handle, t, n) })
}

func flag(b bool) C.int32_t {
	if b {
		return 1
	}
	return 0
}

// somePlans is PyTorch's own bound on the plans that are tried for a convolution.
const somePlans = 10

func cConfig(c train.EngineConfig) (C.ss_config, error) {
	var out C.ss_config
	precision, optimizer := slices.Index(precisions, c.Precision), slices.Index(optimizers, c.Optimizer)
	if precision < 0 {
		return out, fmt.Errorf("precision %q: want one of %v", c.Precision, precisions)
	}
	if optimizer < 0 {
		return out, fmt.Errorf("optimizer %q: want one of %v", c.Optimizer, optimizers)
	}
	if c.AllPlans && c.Deterministic {
		return out, errors.New("all plans cannot be tried by an engine that chooses by rule")
	}
	out = C.ss_config{
		precision: C.int32_t(precision), optimizer: C.int32_t(optimizer), threads: C.int32_t(c.Threads),
		channels_last: flag(c.ChannelsLast), nesterov: flag(c.Nesterov), ema: flag(c.EMA),
		momentum: C.double(c.Momentum), rho: C.double(c.Decay), eps: C.double(c.Eps), beta1: C.double(c.Beta1), beta2: C.double(c.Beta2),
		weight_decay: C.double(c.WeightDecay), label_smoothing: C.double(c.LabelSmoothing),
		clip_norm: C.double(c.ClipNorm), clip_value: C.double(c.ClipValue), bn_momentum: C.double(c.BNMomentum),
		recompute: flag(c.Recompute), unfused: flag(c.Unfused), deterministic: flag(c.Deterministic), must_record: flag(c.MustRecord),
		plans: somePlans,
	}
	if c.AllPlans {
		out.plans = 0
	}
	for i := range 3 {
		out.mean[i], out.std[i] = C.double(c.Mean[i]), C.double(c.Std[i])
	}
	return out, nil
}

// arena is C memory that lives as long as one call: what is passed to C may
// not hold pointers to Go's.
type arena []unsafe.Pointer

func (a *arena) free() {
	for _, p := range *a {
		C.free(p)
	}
}

func (a *arena) str(s string) *C.char {
	p := C.CString(s)
	*a = append(*a, unsafe.Pointer(p))
	return p
}

func array[T any](a *arena, n int) (*T, []T) {
	var t T
	p := C.calloc(C.size_t(max(n, 1)), C.size_t(unsafe.Sizeof(t)))
	*a = append(*a, p)
	return (*T)(p), unsafe.Slice((*T)(p), n)
}

func (a *arena) ints(from []int) *C.int32_t {
	p, s := array[C.int32_t](a, len(from))
	for i, v := range from {
		s[i] = C.int32_t(v)
	}
	return p
}

// network writes the node table in C's form.
func (a *arena) network(net *model.Network, params []model.Param, cfg *train.EngineConfig) (*C.ss_network, error) {
	p, out := array[C.ss_network](a, 1)
	n := &out[0]
	if cfg.ClassWeights != nil && len(cfg.ClassWeights) != net.Classes {
		return nil, fmt.Errorf("%d class weights for %d classes", len(cfg.ClassWeights), net.Classes)
	}
	if cfg.ClassWeights != nil {
		n.class_weight = a.doubles(cfg.ClassWeights)
	}
	for name := range cfg.Rates {
		if !slices.ContainsFunc(params, func(p model.Param) bool { return p.Name == name }) {
			return nil, fmt.Errorf("a rate for %s, which %s has not", name, net.Name)
		}
	}
	a.nodes(n, net)
	a.params(n, params, cfg)
	aux, weights := make([]int, len(net.Aux)), make([]float64, len(net.Aux))
	for i, h := range net.Aux {
		aux[i], weights[i] = h.Node, h.Weight
	}
	n.aux, n.aux_weight, n.n_aux = a.ints(aux), a.doubles(weights), C.int32_t(len(aux))
	n.logits, n.embedding, n.classes = C.int32_t(net.Logits), C.int32_t(net.Embedding), C.int32_t(net.Classes)
	return p, nil
}

func (a *arena) doubles(from []float64) *C.double {
	p, s := array[C.double](a, len(from))
	for i, v := range from {
		s[i] = C.double(v)
	}
	return p
}

func (a *arena) nodes(n *C.ss_network, net *model.Network) {
	var nodes []C.ss_node
	n.n_nodes = C.int32_t(len(net.Nodes))
	n.nodes, nodes = array[C.ss_node](a, len(net.Nodes))
	for i, from := range net.Nodes {
		to := &nodes[i]
		to.op, to.n_inputs, to.inputs = C.int32_t(from.Op), C.int32_t(len(from.Inputs)), a.ints(from.Inputs)
		for d := range 2 {
			to.kernel[d], to.stride[d], to.pad[d] = C.int32_t(from.Kernel[d]), C.int32_t(from.Stride[d]), C.int32_t(from.Pad[d])
			to.size[d] = C.int32_t(from.Size[d])
		}
		to.bias, to.ceil_mode, to.count_include_pad = flag(from.Bias), flag(from.CeilMode), flag(from.CountIncludePad)
		to.eps, to.p = C.double(from.Eps), C.double(from.P)
		to.alpha, to.beta, to.k = C.double(from.Alpha), C.double(from.Beta), C.double(from.K)
	}
}

func (a *arena) params(n *C.ss_network, params []model.Param, cfg *train.EngineConfig) {
	var list []C.ss_param
	n.n_params = C.int32_t(len(params))
	n.params, list = array[C.ss_param](a, len(params))
	for i, from := range params {
		to := &list[i]
		to.name, to.kind, to.node, to.rank = a.str(from.Name), C.int32_t(from.Kind), C.int32_t(from.Node), C.int32_t(len(from.Shape))
		for d, size := range from.Shape {
			to.shape[d] = C.int64_t(size)
		}
		to.rate = 1
		if rate, ok := cfg.Rates[from.Name]; ok {
			to.rate = C.double(rate)
		}
	}
}
