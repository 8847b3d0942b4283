// Package ort runs a network through ONNX Runtime, whose library is opened at
// run time.
package ort

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/classifier"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
)

// ErrUnfit marks a library that is missing, or lacks what was asked for.
var ErrUnfit = errors.New("ONNX Runtime is missing or unfit")

// ErrTooNew marks a model that the library does not know how to run.
var ErrTooNew = errors.New("the model is not for this ONNX Runtime")

// Options say which model runs where.
type Options struct {
	Library  string // path of ONNX Runtime's library
	Model    string // path of the ONNX file
	Provider string // cpu (default), cuda or tensorrt
	Device   int    // number of the GPU, of cuda and tensorrt
	Threads  int    // of one run, on the CPU; 0 means 1

	// ProviderOptions are the provider's own, over the defaults; Cache is a
	// directory for TensorRT's engines, "" for none, and Batch the images a run
	// that they are built for.
	ProviderOptions map[string]string
	Cache           string
	Batch           int

	// Most bounds the images of one run, and so the memory of activations:
	// Predict works a larger batch through in several. 0: no bound.
	Most int

	// Spec says how images are made ready and what the classes are; its zero
	// value is the one in the model's metadata. Choice settles what the model
	// leaves open.
	Spec   model.Spec
	Choice classifier.Choice
	Logits bool // wanted beside the probabilities

	// Contract is what Describe said of the model under this Choice; nil: Open
	// reads the file itself.
	Contract *classifier.Contract
}

// Session is a model, open. It is for many goroutines.
type Session struct {
	o        Options
	c        *classifier.Contract
	session  *ort.DynamicAdvancedSession
	outputs  []string
	logitsAt int // among outputs; -1: the model's scores are the logits, or they are not wanted
	pixels   *classifier.Pixels
	buffers  sync.Pool // of *[]float32
}

var _ infer.Predictor = (*Session)(nil)

// environment guards ONNX Runtime's process-wide state: its library is opened
// once.
var environment struct {
	sync.Mutex
	library string
}

func open(library string) error {
	environment.Lock()
	defer environment.Unlock()
	if ort.IsInitialized() {
		if environment.library != library && !regular.SameFile(environment.library, library) {
			return fmt.Errorf("%w: %s is open already, %s cannot be opened too", ErrUnfit, environment.library, library)
		}
		return nil
	}
	ort.SetSharedLibraryPath(library)
	if err := ort.InitializeEnvironment(); err != nil {
		return fmt.Errorf("%w: open %s: %w (1.24 or later is needed)", ErrUnfit, library, err)
	}
	environment.library = library
	return nil
}

// Version opens the library and gives its version. A library that is none, or a
// second one in one process, is ErrUnfit.
func Version(library string) (string, error) {
	if err := open(library); err != nil {
		return "", err
	}
	return ort.GetVersion(), nil
}

// Open opens a model: one that synshard exported, or any classifier that
// Describe can make sense of. Errors are ErrUnfit over the library or what it
// lacks, ErrTooNew, ErrOption, Describe's, and that classes and model do not fit
// each other. On a GPU, and where scores must be told, the model is run once.
func Open(o Options) (*Session, error) {
	s, err := prepare(o)
	if err != nil {
		return nil, err
	}
	if err := s.start(s.begin); err != nil {
		return nil, err
	}
	return s, nil
}

// prepare reads what a model says, and holds it to the options.
func prepare(o Options) (*Session, error) {
	if o.Provider == "" {
		o.Provider = "cpu"
	}
	if err := CheckProvider(o.Provider, o.ProviderOptions); err != nil {
		return nil, err
	}
	c := o.Contract
	if c == nil {
		var err error
		if c, err = classifier.Describe(o.Model, o.Choice); err != nil {
			return nil, err
		}
	}
	own := *c // a first run may add to it
	s := &Session{o: o, c: &own, logitsAt: -1}
	if err := s.settle(); err != nil {
		return nil, err
	}
	return s, nil
}

// start opens the library and, by begin, the model.
func (s *Session) start(begin func() error) error {
	if err := open(s.o.Library); err != nil {
		return err
	}
	// The CUDA provider changes signals when a session is made, and again in
	// its first run.
	if _, err := keepingSignals(begin); err != nil {
		s.Close()
		return explain(s.o.Model, s.c.Opset, err)
	}
	if err := s.c.Identity.Unchanged(); err != nil { // ONNX Runtime read the files by itself
		s.Close()
		return err
	}
	return nil
}

// Unchanged is an error where the weights may not be those that Contract.Identity is of any
// more, since the model's external data was written to.
func (s *Session) Unchanged() error { return s.c.Identity.NotWritten() }

// settle holds Spec and model to each other.
func (s *Session) settle() (err error) {
	if s.o.Spec, err = s.c.Settle(s.o.Spec); err != nil {
		return fmt.Errorf("%s: %w", s.o.Model, err)
	}
	s.pixels = s.c.Pixels(s.o.Spec)
	return nil
}

// begin makes the session and, where something is to be learned or warmed up,
// runs it once.
func (s *Session) begin() error {
	so, err := s.o.sessionOptions(s.c)
	if err != nil {
		return err
	}
	defer so.Destroy()
	s.outputs = []string{s.c.Output}
	if s.c.Embed != "" {
		s.outputs = append(s.outputs, s.c.Embed)
	}
	if s.o.Logits && s.c.Scores == "probabilities" {
		if err := s.beginLogits(so); err != nil {
			return err
		}
	} else if s.session, err = ort.NewDynamicAdvancedSession(s.o.Model, []string{s.c.Input}, s.outputs, so); err != nil {
		return err
	}
	if s.o.Provider != "cpu" || s.c.Unsettled() {
		return s.probe()
	}
	return nil
}

// beginLogits makes a session of the model with what its last Softmax takes as
// an output.
func (s *Session) beginLogits(so *ort.SessionOptions) error {
	if s.c.Logits == "" {
		return s.c.NoLogits()
	}
	m, err := onnx.ReadFile(s.o.Model)
	if err != nil {
		return err
	}
	m.AddOutput(s.c.Logits, len(s.o.Spec.Classes))
	s.logitsAt = len(s.outputs)
	s.outputs = append(s.outputs, s.c.Logits)
	return s.openEdited(m, so)
}

// openEdited makes a session of the model as it was read and changed.
func (s *Session) openEdited(m *onnx.Model, so *ort.SessionOptions) error {
	b, err := m.Bytes()
	if err != nil {
		return err
	}
	// A model in memory has no directory, and its external data would be looked
	// for in the working directory.
	if err := so.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", filepath.Dir(s.o.Model)); err != nil {
		return err
	}
	s.session, err = ort.NewDynamicAdvancedSessionWithONNXData(b, []string{s.c.Input}, s.outputs, so)
	return err
}

// EmbeddingWidth is the number of floats of an embedding; 0: there is none.
func (s *Session) EmbeddingWidth() int { return s.c.Width }

// Predict implements infer.Predictor. n is Contract.Batch where that is not 0.
func (s *Session) Predict(ctx context.Context, images []byte, n int) (infer.Outputs, error) {
	if s.o.Most == 0 || n <= s.o.Most || s.c.Batch > 0 {
		return s.predict(ctx, images, n)
	}
	var out infer.Outputs
	image := s.o.Spec.InputSize * s.o.Spec.InputSize * 3
	for at := 0; at < n; at += s.o.Most {
		some, err := s.predict(ctx, images[at*image:], min(s.o.Most, n-at))
		if err != nil {
			return out, err
		}
		out.Probabilities = append(out.Probabilities, some.Probabilities...)
		out.Embedding = append(out.Embedding, some.Embedding...)
		out.Logits = append(out.Logits, some.Logits...)
	}
	return out, nil
}

func (s *Session) predict(ctx context.Context, images []byte, n int) (infer.Outputs, error) {
	var out infer.Outputs
	if err := ctx.Err(); err != nil {
		return out, err
	}
	in, done, err := s.tensor(images, n)
	if err != nil {
		return out, fmt.Errorf("predict: %w", err)
	}
	defer done()
	results := make([][]float32, len(s.outputs))
	values := make([]ort.Value, len(s.outputs))
	for i := range results {
		width := len(s.o.Spec.Classes)
		if s.c.Embed != "" && i == 1 {
			width = s.c.Width
		}
		results[i] = make([]float32, n*width)
		t, err := ort.NewTensor(ort.NewShape(int64(n), int64(width)), results[i])
		if err != nil {
			return out, fmt.Errorf("predict: %w", err)
		}
		defer t.Destroy()
		values[i] = t
	}
	if err := s.session.Run([]ort.Value{in}, values); err != nil {
		return out, fmt.Errorf("predict: %w", err)
	}
	return s.c.Outputs(results, s.logitsAt)
}

// Close frees the model.
func (s *Session) Close() error {
	if s.session == nil {
		return nil
	}
	err := s.session.Destroy()
	s.session = nil
	return err
}
