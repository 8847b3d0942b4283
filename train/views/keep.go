package views

import (
	"math"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/train"
)

// Keeper keeps ranges of a dataset's files, which are images, in bounded room
// (storage/cached.Files is one).
type Keeper interface {
	// Keep begins to keep so many bytes at most, under a name.
	Keep(name string, budget int64) error
	// Adopt takes up a range that may be kept from before, which is asked for at next.
	Adopt(file string, at, size, next int64)
	// Want says that a range will be read soon.
	Want(file string, at, size int64)
	// Used says that a range was read, and when it is read next: what is read last goes
	// first.
	Used(file string, at, next int64)
}

// Keep has the images of a run kept, at most so many bytes of them: those to train on in
// the order in which they will be asked for, those to validate on where there is room.
func (v *Views) Keep(k Keeper, l *train.Loaded, budget int64) error {
	if err := k.Keep(KeptName(v.set), budget); err != nil {
		return err
	}
	l.TrainOptions.Advisor = Advise(k, v.Train.Len(), v.Train.Row, false)
	if val, ok := v.val.(interface{ Row(int) shard.Row }); ok {
		l.ValOptions.Advisor = Advise(k, v.val.Len(), val.Row, true)
	}
	return nil
}

// KeptName is the name under which a dataset's images are kept.
func KeptName(set *shard.Dataset) string {
	sum := set.Manifest.SHA256
	return sum[:min(len(sum), 32)]
}

// Advise is a loader's Advisor that has rows kept; row says where each lies. With last set
// nothing is known of when a row is read next: all others are kept rather.
func Advise(k Keeper, rows int, row func(i int) shard.Row, last bool) loader.Advisor {
	for i := range rows {
		r := row(i)
		k.Adopt(r.File, r.Offset, r.Length, math.MaxInt64-1)
	}
	return rowKeeper{k, row, last}
}

type rowKeeper struct {
	Keeper
	row  func(i int) shard.Row
	last bool
}

func (k rowKeeper) WillNeed(i int) {
	r := k.row(i)
	k.Want(r.File, r.Offset, r.Length)
}

func (k rowKeeper) DontNeed(int) {}

func (k rowKeeper) Keep(i int, next int64) {
	if k.last {
		next = math.MaxInt64 - 1
	}
	r := k.row(i)
	k.Used(r.File, r.Offset, next)
}
