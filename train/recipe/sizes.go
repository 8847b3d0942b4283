package recipe

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/synshard/synshard/model"
)

// Stage is from which epoch on, counted from 0, training images have which size: the
// text SIZE@EPOCH, or SIZE from the first epoch on.
type Stage struct {
	Size  int // pixels, height and width
	Epoch int // the first that has it
}

// MarshalText gives the text.
func (s Stage) MarshalText() ([]byte, error) {
	if s.Epoch == 0 {
		return []byte(strconv.Itoa(s.Size)), nil
	}
	return fmt.Appendf(nil, "%d@%d", s.Size, s.Epoch), nil
}

// UnmarshalText reads one.
func (s *Stage) UnmarshalText(text []byte) error {
	size, epoch, later := strings.Cut(string(text), "@")
	var read Stage
	var err, err2 error
	read.Size, err = strconv.Atoi(size)
	if later {
		read.Epoch, err2 = strconv.Atoi(epoch)
	}
	if err != nil || err2 != nil {
		return fmt.Errorf("augment.sizes has %q: want SIZE or SIZE@EPOCH, such as 192@8", text)
	}
	*s = read
	return nil
}

func checkSizes(stages []Stage) error {
	for i, s := range stages {
		switch {
		case s.Size < 1 || s.Size > model.MaxSize:
			return fmt.Errorf("augment.sizes has %d pixels: want 1 to %d", s.Size, model.MaxSize)
		case i == 0 && s.Epoch != 0:
			return fmt.Errorf("augment.sizes begins at epoch %d: want a size for the first epoch, which is 0", s.Epoch)
		case i > 0 && s.Epoch <= stages[i-1].Epoch:
			return fmt.Errorf("augment.sizes has epoch %d after %d: want them in ascending order", s.Epoch, stages[i-1].Epoch)
		}
	}
	return nil
}

// TrainSize is the height and width of training images in an epoch, counted from 0, in
// pixels.
func (r *Recipe) TrainSize(epoch int) int {
	size := r.Eval.Size
	for _, s := range r.Augment.Sizes {
		if s.Epoch <= epoch {
			size = s.Size
		}
	}
	return size
}

// LargestTrainSize is the most that TrainSize gives.
func (r *Recipe) LargestTrainSize() int {
	size := r.TrainSize(0)
	for _, s := range r.Augment.Sizes {
		size = max(size, s.Size)
	}
	return size
}
