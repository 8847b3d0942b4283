package infer

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/model"
)

// Outputs is what a network gives for n images. Embedding and Logits are nil
// where the network has none, or they were not asked of the Predictor.
type Outputs struct {
	Probabilities []float32 // [n, classes]
	Embedding     []float32 // [n, width]
	Logits        []float32 // [n, classes]
}

// Predictor runs a network. Predict takes n images, uint8 [n, size, size, 3],
// and is called from many goroutines.
type Predictor interface {
	Predict(ctx context.Context, images []byte, n int) (Outputs, error)
}

// Source is the images, in the order of the output's rows, and what is known
// of them; *shard.View is one, Open finds others. It is read from many
// goroutines.
type Source interface {
	Len() int
	Path(i int) string
	Synset(i int) string                    // the truth; "" where it is not known
	Read(i int, buf []byte) ([]byte, error) // the image's bytes, in buf where they fit
}

// Options say what to predict over, how, and whom to tell.
type Options struct {
	Predictor Predictor
	Spec      model.Spec
	Source    Source

	Batch   int  // images a run of the network
	Fixed   bool // every run takes a full batch: the last one is padded
	Runs    int  // runs at a time; 0 means 1
	Workers int  // that decode; 0: one a CPU

	TopK          int    // 0 means 5; at most the number of classes
	Probabilities bool   // of all classes
	Logits        bool   // of all classes
	Embedding     string // "", fp32 or fp16
	Width         int    // of the embedding
	Truncated     bool   // take an image that ends early as far as it goes; else its row has the error
	Derived       []prediction.Derived

	// Part, from 0, of Parts of the rows; Parts 0 is everything. Parts begin
	// where a batch begins, so that together they hold what one run gives.
	Part, Parts int

	// Input says what the images are, Model which network it is, by content,
	// and Backend what runs it, so that a rerun knows whether earlier work
	// still holds. Notes are kept in the output's metadata.
	Input, Model, Backend string
	Notes                 map[string]string

	// OnRow and OnError are called from many goroutines.
	OnRow     func(n int)                  // as rows are done
	OnSkipped func(n int)                  // rows that an earlier run had done
	OnError   func(path string, err error) // of an image that could not be read; its row is kept
}

func (o *Options) check() error {
	if o.TopK == 0 {
		o.TopK = 5
	}
	o.TopK = min(o.TopK, len(o.Spec.Classes))
	o.Runs = max(o.Runs, 1)
	if o.Batch < 1 || o.TopK < 1 || o.Predictor == nil || o.Source == nil {
		return fmt.Errorf("infer: batch %d, top %d, predictor %v, source %v", o.Batch, o.TopK, o.Predictor != nil, o.Source != nil)
	}
	if o.Parts < 0 || o.Part < 0 || o.Parts > 0 && o.Part >= o.Parts {
		return fmt.Errorf("infer: part %d of %d", o.Part, o.Parts)
	}
	if !slices.Contains([]string{"", "fp32", "fp16"}, o.Embedding) {
		return fmt.Errorf("infer: embedding as %q: want fp32 or fp16", o.Embedding)
	}
	if o.Embedding != "" && o.Width < 1 {
		return fmt.Errorf("infer: the model gives no embedding")
	}
	for _, d := range o.Derived {
		if !d.Field.Nullable || d.Append == nil || d.Key == "" {
			return fmt.Errorf("infer: derived column %s: not nullable, or without a key or a function", d.Field.Name)
		}
	}
	if o.OnRow == nil {
		o.OnRow = func(int) {}
	}
	if o.OnSkipped == nil {
		o.OnSkipped = func(int) {}
	}
	if o.OnError == nil {
		o.OnError = func(string, error) {}
	}
	return o.Spec.Check()
}

// whole identifies the predictions over all rows: the same model, spec,
// options and input. What changes no byte of them is left out.
func (o *Options) whole() string {
	var derived []string
	for _, d := range o.Derived {
		derived = append(derived, d.Field.String(), d.Key)
	}
	b, err := json.Marshal([]any{o.Model, o.Backend, o.Input, o.Spec, o.Batch, o.Fixed, o.TopK, o.Probabilities, o.Logits, o.Embedding, o.Truncated, derived, o.Source.Len()})
	if err != nil {
		panic(err) // strings and numbers
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// Fingerprint identifies the predictions of these rows.
func (o *Options) Fingerprint() string {
	if o.Parts <= 1 {
		return o.whole()
	}
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s %d/%d", o.whole(), o.Part, o.Parts)))
}

// Rows is how many rows are asked for: the source's, or those of the part.
func (o *Options) Rows() int {
	from, to := o.rows()
	return to - from
}

// rows is the range [from, to) that is predicted.
func (o *Options) rows() (from, to int) {
	n := o.Source.Len()
	if o.Parts <= 1 {
		return 0, n
	}
	// n may be many millions: no overflow in 64 bits for any number of parts that makes sense.
	from, to = n*o.Part/o.Parts/o.Batch*o.Batch, n*(o.Part+1)/o.Parts/o.Batch*o.Batch
	if o.Part == o.Parts-1 {
		to = n
	}
	return from, to
}

// Most rows and bytes of a chunk of the output: what is lost at most when work
// is cut short, and about half of what is held in memory.
const (
	chunkRows  = 2048
	chunkBytes = 32 << 20
)

// chunk is how many rows are written at a time, a multiple of the batch.
func (o *Options) chunk() int {
	width := 64 + 32*o.TopK
	for _, all := range []bool{o.Probabilities || len(o.Derived) > 0, o.Logits} {
		if all {
			width += 4 * len(o.Spec.Classes)
		}
	}
	if o.Embedding != "" {
		width += 4 * o.Width
	}
	rows := min(chunkRows, chunkBytes/width)
	return max(rows/o.Batch, 1) * o.Batch
}
