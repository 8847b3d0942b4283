package main

import (
	"context"
	"errors"
	"io"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
)

// comparison is what both models predict on the same images.
type comparison struct {
	N          int     `json:"n"`
	Top1FP32   float64 `json:"top1_fp32"`
	Top1       float64 `json:"top1"`
	Change     float64 `json:"change"`     // Top1 - Top1FP32
	Agreement  float64 `json:"agreement"`  // share of images with the same first prediction
	Unreadable int     `json:"unreadable"` // images left out
}

// eachBatch makes images ready, in an order drawn by seed, up to limit of
// them; 0 for all.
func eachBatch(ctx context.Context, view *shard.View, n *network, batch, limit int, seed uint64, f func(*loader.Batch) error) error {
	l, err := loader.New(ctx, view, loader.Options{
		Batch: batch, White: n.spec.Alpha == "white", Shuffle: true, Seed: seed,
		Eval: &pixel.Eval{Size: n.spec.InputSize, Resize: n.spec.Resize, Interpolation: n.spec.Interpolation, Square: n.spec.Square},
		OnError: func(_ loader.Item, err error) error {
			if pixel.OfImage(err) {
				return nil // counted by who takes the batch
			}
			return err
		},
	})
	if err != nil {
		return err
	}
	defer l.Close()
	for seen := 0; limit == 0 || seen < limit; {
		b, err := l.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if limit > 0 {
			b.N = min(b.N, limit-seen)
		}
		seen += b.N
		err = f(b)
		b.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// compareTop1 predicts the held-out images with both models.
func (a *app) compareTop1(ctx context.Context, fp32, small *network, view *shard.View, set *shard.Dataset, f *quantizeFlags) (comparison, error) {
	var c comparison
	at := map[string]int{}
	for i, name := range fp32.spec.Classes {
		at[name] = i
	}
	truth := set.Classes()
	bar := a.bar(int64(view.Len()), "comparing")
	defer bar.Finish()
	var right32, right8, same int
	err := eachBatch(ctx, view, fp32, fp32.batch, f.evalLimit, f.seed, func(b *loader.Batch) error {
		n := b.N
		if fp32.fixed {
			n = fp32.batch
		}
		x, err := fp32.predictor.Predict(ctx, b.Images, n)
		if err != nil {
			return err
		}
		y, err := small.predictor.Predict(ctx, b.Images, n)
		if err != nil {
			return err
		}
		classes := len(fp32.spec.Classes)
		for i := range b.N {
			if b.Errs[i] != nil {
				c.Unreadable++
				continue
			}
			if b.Labels[i] < 0 || int(b.Labels[i]) >= len(truth) {
				continue
			}
			label, known := at[truth[b.Labels[i]].Synset]
			if !known {
				continue
			}
			p, s := largest(x.Probabilities[i*classes:][:classes]), largest(y.Probabilities[i*classes:][:classes])
			c.N++
			right32, right8, same = right32+count(p == label), right8+count(s == label), same+count(p == s)
		}
		bar.Add64(int64(b.N))
		return nil
	})
	if err != nil || c.N == 0 {
		return c, err
	}
	share := func(n int) float64 { return float64(n) / float64(c.N) }
	c.Top1FP32, c.Top1, c.Agreement = share(right32), share(right8), share(same)
	c.Change = share(right8 - right32)
	return c, nil
}

func largest(p []float32) int {
	best := 0
	for i, v := range p {
		if v > p[best] {
			best = i
		}
	}
	return best
}
