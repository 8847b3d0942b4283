package train

import (
	"fmt"
	"math"
	"strings"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/train/runlog"
)

// checkLabels counts the classes of both sets before anything is spent: a
// label out of range is an error, a class without images a warning.
func (r *runner) checkLabels() error {
	counts, err := census("training", r.o.Data.TrainSet(), r.o.Spec.Classes)
	if err != nil {
		return err
	}
	if _, err := census("validation", r.o.Data.ValSet(), r.o.Spec.Classes); err != nil {
		return err
	}
	var unseen []string
	for i, n := range counts {
		if n == 0 {
			unseen = append(unseen, r.o.Spec.Classes[i])
		}
	}
	if len(unseen) > 0 {
		shown := strings.Join(unseen[:min(len(unseen), 8)], ", ")
		if len(unseen) > 8 {
			shown += ", ..."
		}
		r.warn(fmt.Sprintf("%d of %d classes have no training image and cannot be learnt: %s", len(unseen), len(counts), shown))
	}
	return nil
}

// checkBatch catches labels no class has before they reach the device, where
// the message would be worse.
func checkBatch(b *loader.Batch, classes int) error {
	for i, l := range b.Labels[:b.N] {
		if l < 0 || l >= int64(classes) {
			return fmt.Errorf("row %d has label %d, and there are %d classes", b.Rows[i], l, classes)
		}
	}
	return nil
}

// chanceMargin is how far below ln(classes) the mean loss of an epoch must be
// for the network to have learnt anything.
const chanceMargin = 0.02

// checkChance warns when, after the warm-up, an epoch's mean loss is that of
// guessing: the sign of wrong labels or of a rate far off.
func (r *runner) checkChance() {
	const enough = 50
	if r.epochSteps < enough || float64(r.pos.Epoch+1) <= r.o.Recipe.Rate.WarmupEpochs {
		return
	}
	chance := math.Log(float64(r.o.Network.Classes))
	if mean := r.epochLoss / float64(r.epochSteps); mean > chance-chanceMargin {
		r.warn(fmt.Sprintf("epoch %d: the mean loss %.3f is still that of guessing (ln %d = %.3f); look at the labels, then at the learning rate",
			r.pos.Epoch+1, mean, r.o.Network.Classes, chance))
	}
}

// diverged says what is known about a loss that is not a number.
func (r *runner) diverged(m Metrics, s Step) error {
	what := "infinite"
	if math.IsNaN(m.Loss) {
		what = "NaN"
	}
	where := "the main head's"
	if !math.IsNaN(m.MainLoss) && !math.IsInf(m.MainLoss, 0) {
		where = "an auxiliary head's"
	}
	kept := "no checkpoint was written yet"
	if r.saved >= 0 {
		kept = fmt.Sprintf("the checkpoint of step %d is whole", r.saved)
	}
	err := fmt.Errorf("step %d: %s loss is %s (learning rate %.3g, gradient norm %.3g): %w; %s; try a lower rate, clip.norm, or more precision",
		r.pos.Step+1, where, what, s.LR, m.GradNorm, ErrDiverged, kept)
	r.warn(err.Error())
	return err
}

// notFinite says whose outputs were not, in a validation.
func notFinite(ev runlog.Evaluation) string {
	whose, loss := "the weights", ev.Raw.Loss
	if ev.Raw.Finite() {
		whose, loss = "the averaged weights", ev.EMA.Loss
	}
	return fmt.Sprintf("outputs of %s are not finite (loss %v over %d images)", whose, float64(loss), ev.Raw.N)
}

// checkWarmup warns of a run that ends before its warm-up does, as one of few epochs by a recipe
// for many: the rate that is announced is never reached.
func (r *runner) checkWarmup() {
	rate, epochs := r.o.Recipe.Rate, r.o.Recipe.Epochs
	last := float64(epochs) - 1/float64(r.stepsPerEpoch())
	if last >= rate.WarmupEpochs {
		return
	}
	reached, peak := rate.At(last, epochs, r.pos.Batch), rate.Peak(r.pos.Batch)
	what := fmt.Sprintf("the last step has %.3g of the peak %.3g", reached, peak)
	if reached == 0 {
		what = "all steps have 0, and nothing is learnt"
	}
	r.warn(fmt.Sprintf("the learning rate warms up for %v epochs and the run has %d: %s (--warmup-epochs)", rate.WarmupEpochs, epochs, what))
}

// tooManyOverflows is far more steps than halving any loss scale to 1 takes.
const tooManyOverflows = 100

// checkOverflow ends a run in which fp16 never again finds a loss scale that
// fits.
func (r *runner) checkOverflow(m Metrics) error {
	if !m.Overflow {
		r.overflows = 0
		return nil
	}
	if r.overflows++; r.overflows < tooManyOverflows {
		return nil
	}
	return fmt.Errorf("step %d: the last %d steps overflowed in fp16 and made no update: %w; try a lower rate or bf16", r.pos.Step+1, r.overflows, ErrDiverged)
}
