package infer

import "github.com/synshard/synshard/model"

// Network is a model that is open, and how it is best run.
type Network struct {
	Predictor
	Spec       model.Spec // how images are made ready, and the classes
	OwnClasses bool       // Spec.Classes came with the model, and were not given beside it
	Width      int        // of the embedding; 0: it gives none

	Runs    int  // at a time
	Threads int  // of one run, on the CPU
	Batch   int  // images a run, unless another number is asked for
	Only    int  // the one number of images a run that it takes; 0: any
	Fixed   bool // every run takes a full batch

	Sum     string            // of every file of the model
	Backend string            // what runs it
	Notes   map[string]string // what was said of it beside its files, by name
	Chosen  map[string]string // of that, what predictions go by and Sum and Spec do not say
	// How, where it is not nil, says in a few words how runs are computed, once there
	// were some.
	How func() string
	// Alloc is where batches lie, as loader.Options has it; nil: anywhere.
	Alloc func(n int) ([]byte, func(), error)
	// Close lets the network go, after the last run.
	Close func() error
}

// Options are those of predicting with n, where the source and what is kept are
// still to be said.
func (n *Network) Options() Options {
	return Options{
		Predictor: n.Predictor, Spec: n.Spec, OwnClasses: n.OwnClasses, Fixed: n.Fixed, Runs: n.Runs, Batch: n.Batch,
		Model: n.Sum, Backend: n.Backend, Notes: n.Notes, Chosen: n.Chosen, Alloc: n.Alloc,
	}
}

// Ready are images to try n on, n.Spec.InputSize pixels high and wide, where batches lie;
// free lets them go.
func (n *Network) Ready(images int) (pixels []byte, free func(), err error) {
	noise := Noise(images, n.Spec.InputSize)
	if n.Alloc == nil {
		return noise, func() {}, nil
	}
	if pixels, free, err = n.Alloc(len(noise)); err == nil {
		copy(pixels, noise)
	}
	return pixels, free, err
}

// Noise are n images of many colours, uint8 [n, size, size, 3], to try a model on; the same
// ones every time.
func Noise(n, size int) []byte {
	images := make([]byte, n*size*size*3)
	for i := range images {
		images[i] = byte(i * 2654435761 >> 13)
	}
	return images
}
