package train

import (
	"time"

	"github.com/synshard/synshard/train/runlog"
	"github.com/synshard/synshard/train/tensorboard"
)

// board writes what a run finds for TensorBoard. A nil one writes nothing.
type board struct {
	w *tensorboard.Writer
}

func openBoard(dir string, step int64) (*board, error) {
	w, err := tensorboard.Open(dir, step)
	if err != nil {
		return nil, err
	}
	return &board{w}, nil
}

func (b *board) close() error { return b.w.Close() }

func (b *board) step(s runlog.Step) error {
	return b.scalars(s.Time, s.Step, []tensorboard.Scalar{
		{Tag: "train/loss", Value: s.Loss}, {Tag: "train/main_loss", Value: s.MainLoss},
		{Tag: "train/aux_loss", Value: s.AuxLoss}, {Tag: "train/cross_entropy", Value: s.CrossEntropy}, {Tag: "train/top1", Value: s.Top1},
		{Tag: "train/learning_rate", Value: s.LR}, {Tag: "train/grad_norm", Value: float64(s.GradNorm)},
		{Tag: "speed/images_per_s", Value: s.PerSecond}, {Tag: "speed/data_wait_ms", Value: s.WaitMS},
	})
}

func (b *board) eval(e runlog.Evaluation) error {
	e = e.Counted()
	all := scores("val", e.Raw)
	if e.EMA != nil {
		all = append(all, scores("val_ema", *e.EMA)...)
	}
	return b.scalars(e.Time, e.Step, all)
}

func scores(group string, s runlog.Score) []tensorboard.Scalar {
	return []tensorboard.Scalar{
		{Tag: group + "/top1", Value: s.Top1}, {Tag: group + "/top5", Value: s.Top5}, {Tag: group + "/loss", Value: float64(s.Loss)},
	}
}

func (b *board) scalars(at time.Time, step int64, all []tensorboard.Scalar) error {
	if b == nil {
		return nil
	}
	return b.w.Scalars(at, step, all)
}
