// Package onnx runs a network through ONNX Runtime, whose library is opened at
// run time.
package onnx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"synshard/infer"
	"synshard/model"
)

// ErrUnfit marks a library that is missing, or lacks what was asked for.
var ErrUnfit = errors.New("ONNX Runtime is missing or unfit")

// Options say which model runs where.
type Options struct {
	Library  string // path of ONNX Runtime's library
	Model    string // path of the ONNX file
	Provider string // cpu, cuda or tensorrt
	Device   int    // of cuda and tensorrt
	Threads  int    // of one run, on the CPU
}

// Session is a model, open. It is for many goroutines.
type Session struct {
	spec      model.Spec
	session   *ort.DynamicAdvancedSession
	input     string
	outputs   []string
	classes   int
	embedding int // width; 0: the model gives none
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
		if environment.library != library {
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

// Version opens the library and gives its version.
func Version(library string) (string, error) {
	if err := open(library); err != nil {
		return "", err
	}
	return ort.GetVersion(), nil
}

// Open opens a model that synshard exported, or one that takes uint8 pictures
// [N, size, size, 3] and has a Spec in its metadata.
func Open(o Options) (*Session, error) {
	info, err := model.ReadONNXInfo(o.Model)
	if err != nil {
		return nil, err
	}
	s := &Session{}
	text, ok := info.Metadata[model.SpecKey]
	if !ok {
		return nil, fmt.Errorf("%s: no %s in its metadata, which says how pictures are made ready and what the classes are", o.Model, model.SpecKey)
	}
	if s.spec, err = model.ParseSpec(text); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Model, err)
	}
	if err := s.describe(info); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Model, err)
	}
	if err := open(o.Library); err != nil {
		return nil, err
	}
	options, err := sessionOptions(o)
	if err != nil {
		return nil, err
	}
	defer options.Destroy()
	if s.session, err = ort.NewDynamicAdvancedSession(o.Model, []string{s.input}, s.outputs, options); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Model, err)
	}
	return s, nil
}

// describe checks that the model takes and gives what Predict expects.
func (s *Session) describe(info *model.ONNXInfo) error {
	if len(info.Inputs) != 1 {
		return fmt.Errorf("%d inputs, want one", len(info.Inputs))
	}
	in, size := info.Inputs[0], int64(s.spec.InputSize)
	if in.Type != "uint8" || len(in.Dims) != 4 || !slices.Equal(in.Dims[1:], []int64{size, size, 3}) {
		return fmt.Errorf("input %s is %s %v, want uint8 [N %d %d 3]", in.Name, in.Type, in.Dims, size, size)
	}
	s.input, s.classes = in.Name, len(s.spec.Classes)
	find := func(name string) *model.ONNXValue {
		for i := range info.Outputs {
			if info.Outputs[i].Name == name {
				return &info.Outputs[i]
			}
		}
		return nil
	}
	p := find("probabilities")
	if p == nil || p.Type != "float" || len(p.Dims) != 2 || p.Dims[1] != int64(s.classes) {
		return fmt.Errorf("no output probabilities, float [N %d]: the class list has %d names", s.classes, s.classes)
	}
	s.outputs = []string{p.Name}
	if e := find("embedding"); e != nil && e.Type == "float" && len(e.Dims) == 2 && e.Dims[1] > 0 {
		s.outputs = append(s.outputs, e.Name)
		s.embedding = int(e.Dims[1])
	}
	return nil
}

func sessionOptions(o Options) (*ort.SessionOptions, error) {
	so, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*ort.SessionOptions, error) {
		so.Destroy()
		return nil, err
	}
	if err := errors.Join(so.SetIntraOpNumThreads(max(o.Threads, 1)), so.SetInterOpNumThreads(1), so.SetLogSeverityLevel(ort.LoggingLevelError)); err != nil {
		return fail(err)
	}
	switch o.Provider {
	case "", "cpu":
	case "cuda":
		cuda, err := ort.NewCUDAProviderOptions()
		if err != nil {
			return fail(fmt.Errorf("%w: provider cuda: %w", ErrUnfit, err))
		}
		defer cuda.Destroy()
		err = cuda.Update(map[string]string{"device_id": strconv.Itoa(o.Device), "cudnn_conv_use_max_workspace": "1"})
		if err == nil {
			err = so.AppendExecutionProviderCUDA(cuda)
		}
		if err != nil {
			return fail(fmt.Errorf("%w: provider cuda: %w; give --ort-lib the library of ONNX Runtime's GPU package", ErrUnfit, err))
		}
	case "tensorrt":
		rt, err := ort.NewTensorRTProviderOptions()
		if err != nil {
			return fail(fmt.Errorf("%w: provider tensorrt: %w", ErrUnfit, err))
		}
		defer rt.Destroy()
		err = rt.Update(map[string]string{"device_id": strconv.Itoa(o.Device), "trt_fp16_enable": "1"})
		if err == nil {
			err = so.AppendExecutionProviderTensorRT(rt)
		}
		if err != nil {
			return fail(fmt.Errorf("%w: provider tensorrt: %w; give --ort-lib the library of ONNX Runtime's GPU package", ErrUnfit, err))
		}
	default:
		return fail(fmt.Errorf("provider %q: want cpu, cuda or tensorrt", o.Provider))
	}
	return so, nil
}

// Spec is what travels with the model.
func (s *Session) Spec() model.Spec { return s.spec }

// EmbeddingWidth is the number of floats of an embedding; 0: there is none.
func (s *Session) EmbeddingWidth() int { return s.embedding }

// Predict implements infer.Predictor.
func (s *Session) Predict(ctx context.Context, images []byte, n int) ([]float32, []float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	size := int64(s.spec.InputSize)
	in, err := ort.NewTensor(ort.NewShape(int64(n), size, size, 3), images[:int64(n)*size*size*3])
	if err != nil {
		return nil, nil, fmt.Errorf("predict: %w", err)
	}
	defer in.Destroy()
	probs := make([]float32, n*s.classes)
	p, err := ort.NewTensor(ort.NewShape(int64(n), int64(s.classes)), probs)
	if err != nil {
		return nil, nil, fmt.Errorf("predict: %w", err)
	}
	defer p.Destroy()
	outputs := []ort.Value{p}
	var emb []float32
	if s.embedding > 0 {
		emb = make([]float32, n*s.embedding)
		e, err := ort.NewTensor(ort.NewShape(int64(n), int64(s.embedding)), emb)
		if err != nil {
			return nil, nil, fmt.Errorf("predict: %w", err)
		}
		defer e.Destroy()
		outputs = append(outputs, e)
	}
	if err := s.session.Run([]ort.Value{in}, outputs); err != nil {
		return nil, nil, fmt.Errorf("predict: %w", err)
	}
	return probs, emb, nil
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
