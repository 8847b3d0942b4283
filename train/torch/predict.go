package torch

/*
#include <stdlib.h>
#include "synshard_torch.h"

static int ss_predict_begin(const ss_api *a, ss_engine *g, const uint8_t *images, int32_t rows, int32_t size, int32_t ema, int32_t wanted, ss_prediction **o, char *e, size_t l) {
	ss_batch b = {.images = images, .rows = rows, .size = size};
	return a->predict_begin(g, &b, ema, wanted, o, e, l);
}
static int ss_predict_end(const ss_api *a, ss_prediction *p, float *probabilities, float *logits, float *embedding, int32_t rows, int32_t classes, int32_t width, char *e, size_t l) {
	ss_predictions o = {
		.probabilities = probabilities,
		.logits = logits,
		.embedding = embedding,
		.rows = rows,
		.classes = classes,
		.width = width,
	};
	return a->predict_end(p, &o, e, l);
}
*/
import "C"

import (
	"fmt"

	"github.com/synshard/synshard/loader"
)

// Predictions are what a network gives of n images in evaluation.
type Predictions struct {
	Probabilities []float32 // [n, classes], of the main head
	Embedding     []float32 // [n, width], where asked for
	Logits        []float32 // [n, classes], where asked for
}

// PredictOptions say what is wanted beside the probabilities, and of which weights.
type PredictOptions struct {
	EMA       bool // the averaged weights, which the engine must keep
	Logits    bool // [images, classes], before the softmax
	Embedding bool // [images, width], the network's flat output before its last layer
}

// Predict runs the network in evaluation over all rows of a batch, whatever its
// labels. It may be called from many goroutines: on a GPU the next batch goes up,
// and is queued, while one is waited for. Weights are made ready in the first
// prediction after they changed, batch norm folded into convolutions; with
// Unfused they are taken as they are.
func (e *Engine) Predict(b *loader.Batch, o PredictOptions) (p Predictions, err error) {
	if err := e.checkBatch(b); err != nil {
		return p, fmt.Errorf("predict: %w", err)
	}
	shapes, err := e.net.Shapes()
	if err != nil {
		return p, fmt.Errorf("predict: %w", err)
	}
	width := shapes[e.net.Embedding].Elements()
	wanted := C.int32_t(C.SS_PROBABILITIES)
	p.Probabilities = make([]float32, len(b.Labels)*e.net.Classes)
	var l, v *C.float
	if o.Logits {
		p.Logits = make([]float32, len(p.Probabilities))
		l, wanted = (*C.float)(&p.Logits[0]), wanted|C.SS_LOGITS
	}
	if o.Embedding {
		p.Embedding = make([]float32, len(b.Labels)*width)
		v, wanted = (*C.float)(&p.Embedding[0]), wanted|C.SS_EMBEDDING
	}
	r := rowsOf(b, 0, len(b.Labels))
	var begun *C.ss_prediction
	err = e.call("predict", func(t *C.char, n C.size_t) C.int {
		return C.ss_predict_begin(e.shim.api, e.handle, r.images, r.n, r.size, flag(o.EMA), wanted, &begun, t, n)
	})
	if err != nil {
		return p, err
	}
	// Not on the engine's thread, which begins the next one meanwhile.
	err = call("predict", func(t *C.char, n C.size_t) C.int {
		return C.ss_predict_end(e.shim.api, begun, (*C.float)(&p.Probabilities[0]), l, v, r.n, C.int32_t(e.net.Classes), C.int32_t(width), t, n)
	})
	return p, err
}
