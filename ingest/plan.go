package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/ingest/imagenet"
	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"
	"github.com/synshard/synshard/source/layout"
)

// Plan is what a call is about to do; what Run meets while it does it is not noted
// here. It holds the sources open: every plan must be closed.
type Plan struct {
	Out     string      `json:"out"`           // the dataset's directory or URL
	State   string      `json:"state"`         // of the directory: new, unfinished, whole, amended, or made anew
	Job     string      `json:"job,omitempty"` // the job of an array whose share Splits tell of, as "3/8"
	Layout  string      `json:"layout"`        // what the names of the sources mean
	Classes []string    `json:"classes"`       // in label order, as far as they are known before images are read
	Splits  []PlanSplit `json:"splits"`        // in order of their names: what each will hold
	// Skipped is what the sources hold and the dataset will not, by reason. What
	// is in archives that are listed only when they are read is not among it.
	Skipped []layout.Skipped `json:"skipped,omitempty"`
	Notes   []string         `json:"notes,omitempty"` // what is worth knowing, a line each
	// Missing are files that lists name and that are not there: images that the run will refuse.
	Missing *layout.Skipped `json:"missing,omitempty"`

	o        Options
	set      *containers
	kit      *imagenet.Kit
	boxes    imagenet.Boxes
	exported map[string]shard.Class            // what exports among the sources say of classes, by name
	objects  map[shard.ImageKey][]shard.Object // and of boxes
	called   map[string]shard.ExportedNames    // and of names, by the source
	// keptClasses are the classes of those exports that keep them, in label order, by the source.
	keptClasses map[string][]string
	// exportedList is the class list of the exports, where all sources are such of one.
	exportedList *classlist.List

	deep    bool          // archives within archives are listed
	forced  layout.Forced // what Options.Layout says of that
	names   *layout.Plan  // what the names mean
	given   bool          // the classes were given, by a list or the kit, and not found
	print   record.Fingerprint
	units   []unit          // that are listed
	mine    share           // what this call does of it
	byClass map[string]bool // splits whose shards are by class
	skips   skips           // what was left out when the sources were opened and looked into
}

// PlanSplit is the part of a plan for one split.
type PlanSplit struct {
	Split      string `json:"split"`                // train, val or test
	Source     string `json:"source"`               // for people: base names and sizes
	Images     int64  `json:"images"`               // -1: not known before they are read
	Bytes      int64  `json:"bytes"`                // of the units to do, as far as it is known
	Units      int    `json:"units"`                // classes, or pieces of a flat split
	Done       int    `json:"done"`                 // of them, by an earlier call
	Sequential bool   `json:"sequential,omitempty"` // read front to back: its units are not known before
}

// MakePlan says what a call would do, and changes nothing. Names that can be read
// in two ways are a *layout.Ambiguity; an option that has no effect for these
// sources is a *layout.NoEffect or an *OptionError; a class outside Options.Classes
// is a *classlist.NotInList; what is in the directory and does not agree is a
// *DifferError.
func MakePlan(ctx context.Context, o Options) (*Plan, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	p, err := understood(ctx, o, o.ValFraction > 0)
	if errors.Is(err, layout.ErrNotListed) {
		p, err = understood(ctx, o, true)
	}
	if err != nil {
		return nil, err
	}
	p.mine = p.shareOut()
	found, err := p.inspect(ctx)
	if err != nil {
		p.Close()
		return nil, err
	}
	if err := p.describe(found); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// understood makes a plan but for what it finds in the dataset's directory. With
// deep the names in archives within archives are read.
func understood(ctx context.Context, o Options, deep bool) (*Plan, error) {
	p := &Plan{Out: o.Out.String(), o: o, deep: deep, boxes: imagenet.Boxes{}}
	for _, f := range []func(context.Context) error{p.open, p.understand, p.fingerprints} {
		if err := f(ctx); err != nil {
			p.Close()
			return nil, err
		}
	}
	return p, nil
}

// Close closes the sources.
func (p *Plan) Close() error {
	if p.set == nil {
		return nil
	}
	return p.set.close()
}

// open opens the sources, and reads the development kit and the boxes.
func (p *Plan) open(ctx context.Context) error {
	var err error
	if p.set, err = openContainers(ctx, p.o, p.deep, &p.skips); err != nil {
		return err
	}
	kits := []string{}
	if p.o.Devkit != "" {
		kits = append(kits, p.o.Devkit)
	}
	boxes := p.o.Boxes
	for i := range p.set.list {
		c := &p.set.list[i]
		is, err := p.set.auxiliaryOf(ctx, i)
		if err != nil {
			return err
		}
		p.skips.forget(i, c) // what the look into it met
		switch c.auxiliary = is; is {
		case devkit:
			kits = append(kits, c.info.Path)
		case annotations:
			boxes = append(boxes, c.info.Path)
		}
	}
	switch len(kits) {
	case 0:
	case 1:
		if p.kit, err = imagenet.ReadKit(ctx, kits[0]); err != nil {
			return err
		}
	default:
		return &OptionError{"devkit", fmt.Sprintf("%s and %s are two development kits; give one of them", kits[0], kits[1])}
	}
	for _, from := range boxes {
		if err := p.boxes.Read(ctx, from); err != nil {
			return err
		}
	}
	if len(p.o.Boxes) > 0 && len(p.boxes) == 0 {
		return &OptionError{"boxes", "no annotations in " + strings.Join(p.o.Boxes, ", ")}
	}
	return p.readExported()
}

// understand asks layout what the names mean, and cuts the images that are
// listed into units.
func (p *Plan) understand(ctx context.Context) error {
	if len(p.o.Sources) == 0 {
		return nil
	}
	classes, err := p.classList()
	if err != nil {
		return err
	}
	p.given = classes != nil
	inputs, err := p.set.layoutInputs(ctx, p.given)
	if err != nil {
		return err
	}
	if len(inputs) == 0 {
		return nil
	}
	if err := p.readNames(inputs, classes); err != nil {
		return err
	}
	if err := p.swapped(); err != nil {
		return err
	}
	if err := p.labelled(); err != nil {
		return err
	}
	p.Layout, p.Notes, p.Missing = p.names.Layout, p.names.Notes, p.names.Missing
	for _, name := range p.names.Classes {
		p.Classes = append(p.Classes, utf8name.Ensure(name)) // as the dataset has it
	}
	p.ownNames()
	p.Skipped = p.leftOut(&p.skips)
	if err := p.boxed(); err != nil {
		return err
	}
	if err := p.kaggleBoxes(inputs); err != nil {
		return err
	}
	p.byClass = map[string]bool{}
	for i := range p.names.Splits {
		s := &p.names.Splits[i]
		p.byClass[s.Name] = p.splitByClass(s)
	}
	if err := p.peek(ctx); err != nil {
		return err
	}
	for i := range p.names.Splits {
		p.units = append(p.units, p.listedUnits(&p.names.Splits[i])...)
	}
	return nil
}

// classList is the list that gives the classes and their order: the caller's, what an export
// keeps beside its images, or the development kit's; nil where the names do.
func (p *Plan) classList() (*classlist.List, error) {
	classes := p.o.Classes
	switch {
	case classes == nil:
		classes = p.exportedList
	case p.exportedList != nil:
		classes = classes.ByName() // labels of exports are names
	}
	classes, err := p.asExported(classes)
	if err != nil || classes != nil || p.kit == nil {
		return classes, err
	}
	return classlist.New(slices.Sorted(slices.Values(p.kit.Classes())), nil, "the development kit")
}

// readNames asks layout what the names mean.
func (p *Plan) readNames(inputs []layout.Input, classes *classlist.List) error {
	web, err := p.asGiven()
	if err != nil {
		return err
	}
	if p.forced, err = layout.ParseForced(p.o.Layout); err != nil {
		return err
	}
	o := layout.Options{
		Layout: p.o.Layout, WebDataset: web, Split: p.o.Split, ValFraction: p.o.ValFraction, Seed: p.o.Seed, Classes: classes,
		Read: func(e source.Entry) ([]byte, error) { return p.set.read(e, nil) },
		Kept: p.keptList,
		Head: func(e source.Entry) ([]byte, error) { k := p.set.of(&e); return k.set.Head(k.theirs(e)) },
	}
	if p.kit != nil && len(p.kit.Truth) > 0 {
		o.Truth = p.kit.Synset
	}
	p.names, err = layout.Make(inputs, o)
	return layout.WithLeftOut(err, p.skips.all(p.set))
}

// peek looks at the first entries of streams that are not listed, to tell
// whether the images of each class lie together. Of a pipe it must be so.
func (p *Plan) peek(ctx context.Context) error {
	for i, at := range p.set.inputs {
		k := &p.set.list[at]
		if !k.unlisted || p.announced(i) != "train" {
			continue
		}
		if _, listed := p.byClass["train"]; !listed {
			p.byClass["train"] = true
		}
		if k.info.Path == "-" {
			continue
		}
		last, seen, n := int32(-1), map[int32]bool{}, 0
		err := p.set.walk(ctx, i, func(e source.Entry, _ io.Reader) error {
			if n++; n > lookAhead {
				return errSeen
			}
			to, ok, err := p.place(&e)
			if err != nil || !ok || to.Class == last {
				return err
			}
			if to.Class < 0 || seen[to.Class] {
				p.byClass["train"] = false
				return errSeen
			}
			last, seen[to.Class] = to.Class, true
			return nil
		})
		if err != nil && !errors.Is(err, errSeen) {
			return err
		}
		p.skips.reset(at)
	}
	return nil
}

// Bytes is how much is to be read; -1: not known, as a source is read front to back.
func (p *Plan) Bytes() (total int64) {
	for _, s := range p.Splits {
		if s.Sequential {
			return -1
		}
		total += s.Bytes
	}
	return total
}

// LostImages is how many images the plan leaves out, as Summary's.
func (p *Plan) LostImages() int64 { return skippedImages(p.Skipped) }

// MissingImages is how many the run will refuse because their files are not there; what else
// it refuses is not known before the images are read.
func (p *Plan) MissingImages() int64 {
	if p.Missing == nil {
		return 0
	}
	return int64(p.Missing.Count)
}

// leftOut is what is known of what the sources hold and the dataset will not, with what
// was met beside their names.
func (p *Plan) leftOut(met *skips) []layout.Skipped {
	if p.names == nil {
		return nil
	}
	return mergeSkips(p.names.Skipped, met.all(p.set))
}

// boxed wants boxes that were asked for to be of images, where all are listed.
func (p *Plan) boxed() error {
	if len(p.o.Boxes) == 0 || p.names == nil {
		return nil
	}
	for i := range p.names.Splits {
		for k := range p.names.Splits[i].Images {
			im := &p.names.Splits[i].Images[k]
			if _, ok := p.boxes[imagenet.Stem(im.Path)]; ok || im.Archive {
				return nil
			}
		}
	}
	if slices.ContainsFunc(p.set.list, func(k container) bool { return k.unlisted }) {
		return nil
	}
	return &OptionError{"boxes", fmt.Sprintf("they are of %d images, and none of these is in the sources", len(p.boxes))}
}

// labelled wants the labels of ILSVRC2012's validation images, which are in the
// development kit, and a kit to say something of every split but test, unless labels
// are said not to matter.
func (p *Plan) labelled() error {
	if p.forced.Flat() {
		return nil
	}
	for i := range p.names.Splits {
		s := &p.names.Splits[i]
		if s.Unlabelled == 0 {
			continue
		}
		for k := range s.Images {
			if im := &s.Images[k]; im.Class < 0 && strings.HasPrefix(path.Base(im.Name), "ILSVRC2012_val_") {
				problem := "the validation images have no labels in them: give the development kit, or --layout flat to go without"
				if p.kit != nil {
					problem = "the development kit has no ground truth for the validation images: give one that has, or --layout flat to go without"
				}
				return &OptionError{"devkit", problem}
			}
		}
		if p.kit != nil && s.Name != "test" && s.Unlabelled == len(s.Images) {
			return &OptionError{"devkit", fmt.Sprintf("the development kit says nothing of the %d images of %s, such as %s: it knows those called ILSVRC2012_val_00000001 and so on, and synsets; give them under these names or with a list of labels, or --layout flat to go without", len(s.Images), s.Name, s.Images[0].Name)}
		}
	}
	return nil
}

// swapped refuses images that ILSVRC2012 calls after another split than the flag
// of their source: held-out images would be trained on. Without a flag for the
// split, --as-split says where they go.
func (p *Plan) swapped() error {
	looked := map[int32]bool{}
	for i := range p.names.Splits {
		for k := range p.names.Splits[i].Images {
			im := &p.names.Splits[i].Images[k]
			if looked[im.Container] {
				continue
			}
			looked[im.Container] = true
			flag := p.set.of(im.Entry).split
			for _, split := range []string{"val", "test"} {
				if flag != "" && flag != split && strings.HasPrefix(path.Base(im.Name), "ILSVRC2012_"+split+"_") {
					return &OptionError{flag, fmt.Sprintf("%s: its images are called %s and the like: give it with --%s, or with --as-split %s", p.set.of(im.Entry).info.Path, path.Base(im.Name), split, flag)}
				}
			}
		}
	}
	return nil
}

// asGiven holds sources to what they must be, and says whether all must be WebDataset's.
func (p *Plan) asGiven() (web bool, err error) {
	web = len(p.o.Sources) > 0
	for i := range p.set.list {
		k := &p.set.list[i]
		web = web && k.layout == WebDataset
		if k.layout == Kaggle && !slices.ContainsFunc(k.entries, func(e source.Entry) bool { return strings.Contains("/"+e.Name, "/Data/CLS-LOC/") }) {
			return false, fmt.Errorf("%s: not Kaggle's tree: nothing under Data/CLS-LOC/", k.info.Path)
		}
	}
	return web, nil
}

// kaggleBoxes reads the boxes of Kaggle's solutions, where they are among the
// sources.
func (p *Plan) kaggleBoxes(inputs []layout.Input) error {
	for _, in := range inputs {
		for _, e := range in.Entries {
			if name := filepath.Base(e.Name); name != imagenet.TrainSolution && name != imagenet.ValSolution {
				continue
			}
			b, err := p.set.read(e, nil)
			if err == nil {
				err = p.boxes.AddSolution(b)
			}
			if err != nil {
				return fmt.Errorf("%s: %s: %w", in.Info.Path, e.Name, err)
			}
		}
	}
	return nil
}

// fingerprints sums up what decides the content of the dataset.
func (p *Plan) fingerprints(context.Context) error {
	p.print = record.Fingerprint{ShardBytes: p.o.ShardBytes, Check: p.o.Check.String(), OnBad: p.o.OnBad.String(), Resize: p.o.Resize, Classes: p.Classes, Splits: map[string][]record.SplitPrint{}}
	if p.o.Resize > 0 {
		p.print.Quality = p.o.Quality
	}
	p.print.Exported = p.exportedSum()
	if len(p.boxes) > 0 {
		sum := record.Digest(p.boxes.Sum())
		p.print.Boxes = sum.Hex()
	}
	if p.names == nil {
		if len(p.boxes) == 0 {
			return fmt.Errorf("nothing to read in %s", strings.Join(p.set.paths(), ", "))
		}
		return nil
	}
	for i := range p.names.Splits {
		s := &p.names.Splits[i]
		p.print.Splits[s.Name] = []record.SplitPrint{p.printOf(s)}
	}
	for _, split := range p.streamSplits() {
		if len(p.print.Splits[split]) == 0 {
			p.print.Splits[split] = []record.SplitPrint{p.printOf(&layout.Split{Name: split})}
		}
	}
	if len(p.print.Splits) == 0 {
		return fmt.Errorf("no images in %s", strings.Join(p.set.paths(), ", "))
	}
	return nil
}

// printOf sums up what is known of the images of a split before they are read.
func (p *Plan) printOf(s *layout.Split) record.SplitPrint {
	entries, times := record.NewSummer(), record.NewSummer()
	print := record.SplitPrint{Images: int64(len(s.Images))}
	used := map[int32]bool{}
	for i := range s.Images {
		im := &s.Images[i]
		used[im.Container] = true
		entries.Text(im.Name)
		entries.Text(p.className(im.Class))
		entries.Number(im.Size)
		times.Number(im.Modified)
		if im.Archive {
			print.Images = -1
		}
	}
	unlisted := false
	for i, at := range p.set.inputs {
		k := &p.set.list[at]
		if k.unlisted && p.announced(i) == s.Name {
			used[int32(i)], print.Images = true, -1
			entries.Text("unlisted")
			unlisted = unlisted || k.info.Path == "-"
		}
	}
	var sources []string
	for i, at := range p.set.inputs {
		if k := &p.set.list[at]; used[int32(i)] {
			times.Number(k.info.Modified)
			if k.info.Sequential {
				times.Number(k.info.Size)
			}
			sources = append(sources, k.describe())
		}
	}
	print.Source = strings.Join(sources, "; ")
	if !unlisted {
		print.Entries, print.Times = entries.Sum().Hex(), times.Sum().Hex()
	}
	if s.Name == "val" && p.o.ValFraction > 0 {
		print.ValFraction, print.Seed = p.o.ValFraction, p.o.Seed
	}
	if p.kit != nil {
		print.Truth = record.Digest(p.kit.Sum()).Hex()
	}
	return print
}

// announced is the split of all images of a container that is not listed.
func (p *Plan) announced(input int) string {
	return cmp.Or(p.set.list[p.set.inputs[input]].split, p.o.Split, "train")
}

// streamSplits lists the splits of containers that are not listed.
func (p *Plan) streamSplits() []string {
	var out []string
	for i, at := range p.set.inputs {
		if p.set.list[at].unlisted {
			out = append(out, p.announced(i))
		}
	}
	return out
}

func (p *Plan) splitNames() []string { return slices.Sorted(maps.Keys(p.print.Splits)) }

// className is the name of a place in the plan's classes, "" of none.
func (p *Plan) className(class int32) string {
	if class < 0 {
		return ""
	}
	return p.Classes[class]
}

// trainClasses lists the classes of the training units that are listed.
func (p *Plan) trainClasses() map[string]bool {
	out := map[string]bool{}
	for i := range p.units {
		if u := &p.units[i]; u.Split == "train" && u.Class != "" {
			out[u.Class] = true
		}
	}
	return out
}

// describe fills in what a plan tells of itself.
func (p *Plan) describe(found *standing) error {
	p.State, p.Job = found.kind.String(), p.o.place()
	state := record.StateIn(p.o.Out)
	_ = state.List() // else each is asked for
	for _, split := range p.splitNames() {
		print := p.print.Splits[split][0]
		s := PlanSplit{Split: split, Source: print.Source, Images: print.Images}
		for i := range p.mine.units {
			u := &p.mine.units[i]
			if u.Split != split {
				continue
			}
			s.Units++
			done := found.kind == whole || found.kind == amendable && !slices.Contains(found.amendment.Add, split) && !(found.amendment.Grow && split == "train")
			if found.kind == unfinished || found.kind == amendable && !done {
				var err error
				if _, done, err = state.Done(u.Unit, u.sum); err != nil {
					return err
				}
			}
			if done {
				s.Done++
			} else {
				s.Bytes += u.bytes
			}
		}
		for i, at := range p.set.inputs {
			k := &p.set.list[at]
			if k.info.Sequential && p.mine.reads(i) && (k.unlisted && p.announced(i) == split || p.feeds(i, split)) {
				s.Sequential = true
			}
		}
		p.Splits = append(p.Splits, s)
	}
	return nil
}

// place says what an entry is that was not listed; ok is false where it is left out, by
// to.Reason. One goroutine at a time may call it.
func (p *Plan) place(e *source.Entry) (to layout.Placement, ok bool, err error) {
	if to, err = p.names.Place(*e); err != nil || to.Reason != "" {
		return to, false, err
	}
	to.Path = p.ownPath(e, to.Path)
	return to, true, nil
}

// feeds says whether a container has listed images of a split.
func (p *Plan) feeds(input int, split string) bool {
	for i := range p.names.Splits {
		if s := &p.names.Splits[i]; s.Name == split {
			return slices.ContainsFunc(s.Images, func(im layout.Image) bool { return int(im.Container) == input })
		}
	}
	return false
}
