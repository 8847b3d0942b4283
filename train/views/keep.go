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
	l.TrainOptions.Advisor = Advise(k, v.Train.Len(), placeOf(v.Train.Row), false)
	if val, ok := v.val.(interface{ Row(int) shard.Row }); ok {
		l.ValOptions.Advisor = Advise(k, v.val.Len(), placeOf(val.Row), true)
	}
	return nil
}

// KeptName is the name under which a dataset's images are kept.
func KeptName(set *shard.Dataset) string {
	sum := set.Manifest.SHA256
	return sum[:min(len(sum), 32)]
}

func placeOf(row func(i int) shard.Row) func(i int) (string, int64, int64) {
	return func(i int) (string, int64, int64) {
		r := row(i)
		return r.File, r.Offset, r.Length
	}
}

// Advise is a loader's Advisor that has rows kept; place says where in which file a row
// lies. With last set nothing is known of when a row is read next: all others are kept
// rather.
func Advise(k Keeper, rows int, place func(i int) (file string, offset, length int64), last bool) loader.Advisor {
	for i := range rows {
		file, at, size := place(i)
		k.Adopt(file, at, size, math.MaxInt64-1)
	}
	return rowKeeper{k, place, last}
}

type rowKeeper struct {
	Keeper
	place func(i int) (file string, offset, length int64)
	last  bool
}

func (k rowKeeper) WillNeed(i int) { k.Want(k.place(i)) }

func (k rowKeeper) DontNeed(int) {}

func (k rowKeeper) Keep(i int, next int64) {
	if k.last {
		next = math.MaxInt64 - 1
	}
	file, at, _ := k.place(i)
	k.Used(file, at, next)
}
