package provenance

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/quantize"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/runlog"
)

// predictions reads the metadata of a file of predictions (infer/prediction/FORMAT.md).
func (t *Thing) predictions(md map[string]string) error {
	if md[prediction.KeyFingerprint] == "" {
		return fmt.Errorf("%s: neither predictions nor a model of synshard's, or another program saved it: %w", t.Path, ErrUnknown)
	}
	t.fact("fingerprint", md[prediction.KeyFingerprint])
	t.fact("backend", md[prediction.KeyBackend])
	t.fact("job", md[prediction.KeyJob])
	t.fact("rejected", md[prediction.KeyFailed])
	var options map[string]string
	if err := json.Unmarshal([]byte(md[prediction.KeyOptions]), &options); err != nil {
		return fmt.Errorf("%s: %w: its options: %w", t.Path, prediction.ErrFormat, err)
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		t.fact("option "+name, options[name])
	}
	for _, key := range slices.Sorted(maps.Keys(md)) {
		if name, ok := strings.CutPrefix(key, prediction.KeyNote); ok {
			t.fact("note "+name, md[key])
		}
	}
	spec, err := model.ParseSpec(md[prediction.KeySpec])
	if err != nil {
		return fmt.Errorf("%s: %w: %w", t.Path, prediction.ErrFormat, err)
	}
	t.From = append(t.From, Input{Kind: Model, Name: spec.Model, Digest: Digest{SHA256, md[prediction.KeyModel]}})
	t.From = append(t.From, images(md[prediction.KeyInput]))
	return nil
}

// images is the input of predictions: a selection of a dataset's split, which is known by the
// sum of its index, or other images.
func images(text string) Input {
	if split, sum, selection, ok := shard.ParseIdentity(text); ok {
		in := indexOf(split, sum)
		if selection != "" {
			in.Facts = append(in.Facts, Fact{"selection", selection})
		}
		return in
	}
	kind, sum, _ := strings.Cut(text, " ")
	return Input{Kind: Source, Name: kind, Digest: Digest{"names_sizes_times_sha256", sum}}
}

func indexOf(split, sum string) Input {
	return Input{Kind: Dataset, Name: split + "/" + shard.IndexName, Digest: Digest{SHA256, sum}}
}

// network reads what a file of a network says.
func (t *Thing) network() error {
	file, err := checkpoint.ReadAny(t.Path, weights.Options{})
	if err != nil {
		return err
	}
	if err := t.eightBits(file.Metadata[quantize.RecordKey]); err != nil {
		return err
	}
	var id map[string]string
	if text := checkpoint.MadeFromOf(file.Metadata); text != "" {
		if err := json.Unmarshal([]byte(text), &id); err != nil {
			return fmt.Errorf("%s: %s in its metadata: %w", t.Path, model.MadeFromKey, err)
		}
	}
	if text := file.Metadata[model.SpecKey]; text != "" && id["model"] == "" {
		spec, err := model.ParseSpec(text)
		if err != nil {
			return fmt.Errorf("%s: %s in its metadata: %w", t.Path, model.SpecKey, err)
		}
		t.fact("model", spec.Model)
	}
	t.madeFrom(id)
	if len(id) == 0 {
		return nil
	}
	run := filepath.Dir(t.Path)
	ofRun, err := holds(run, runlog.Name)
	if !ofRun || err != nil {
		return err
	}
	return t.by(filepath.Join(run, runlog.Name), id)
}

// eightBits reads what a model of 8 bits says that it was made from; nothing of others, "".
func (t *Thing) eightBits(text string) error {
	if text == "" {
		return nil
	}
	var q quantize.Record
	if err := json.Unmarshal([]byte(text), &q); err != nil {
		return fmt.Errorf("%s: %s in its metadata: %w", t.Path, quantize.RecordKey, err)
	}
	t.fact("quantize activations", q.Activations)
	t.fact("quantize weight bits", fmt.Sprint(q.WeightBits))
	t.fact("quantize calibration", q.Calibration)
	if q.Model != "" { // else a version that did not say it
		t.fact("quantize seed", fmt.Sprint(q.Seed))
		t.From = append(t.From, Input{Kind: Model, Name: "fp32", Digest: Digest{SHA256, q.Model}}, images(q.Images))
	}
	return nil
}

// madeFrom tells what a run is made from apart: the data and first weights, and the recipe.
func (t *Thing) madeFrom(id map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(id)) {
		value := id[name]
		split, isIndex := strings.CutSuffix(strings.TrimPrefix(name, "dataset."), ".index_sha256")
		switch {
		case value == "":
		case name == "dataset.classes_sha256":
			t.From = append(t.From, Input{Kind: Dataset, Name: shard.ClassesName, Digest: Digest{SHA256, value}})
		case isIndex:
			t.From = append(t.From, indexOf(split, value))
		case name == "weights":
			t.From = append(t.From, Input{Kind: Weights, Name: "first weights", Digest: Digest{"tensors_sha256", value}})
		default:
			t.fact(name, value)
		}
	}
}

// by adds the programs and the calls that a log says a run was made by, where it is the run
// of id: each once, in their order.
func (t *Thing) by(log string, id map[string]string) error {
	var by, calls []string
	add := func(to *[]string, text string) {
		if text != "" && !slices.Contains(*to, text) {
			*to = append(*to, text)
		}
	}
	err := runlog.Each(log, func(_ []byte, rec runlog.Record) error {
		if maps.Equal(rec.MadeFrom, id) {
			add(&by, rec.MadeBy)
			add(&calls, quoted(rec.Command))
		}
		return nil
	})
	t.fact(madeBy, strings.Join(by, "; "))
	t.fact("command", strings.Join(calls, "; "))
	return err
}

// plain are words that a shell takes as they are.
var plain = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quoted is a call as a shell takes it.
func quoted(words []string) string {
	out := slices.Clone(words)
	for i, w := range out {
		if !plain.MatchString(w) {
			out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

// run reads a run's directory: what its log says that it was made from, and its files. It has no
// digest of its own: its files have theirs.
func (t *Thing) run() error {
	t.Kind = Run
	log := filepath.Join(t.Path, runlog.Name)
	var id map[string]string
	var last int64
	err := runlog.Each(log, func(_ []byte, rec runlog.Record) error {
		if rec.MadeFrom != nil {
			id = rec.MadeFrom
		}
		last = max(last, rec.Step)
		return nil
	})
	if err != nil {
		return err
	}
	t.fact("steps", fmt.Sprint(last))
	if id == nil {
		t.fact("made from", "not recorded by the version that made it")
	}
	t.madeFrom(id)
	if err := t.by(log, id); err != nil {
		return err
	}
	for _, name := range []string{"config.yaml", "model.onnx", "model.safetensors"} {
		there, err := holds(t.Path, name)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		part := Thing{Path: filepath.Join(t.Path, name)}
		if err := part.sum(); err != nil {
			return err
		}
		t.Files = append(t.Files, Input{Kind: File, Name: name, Digest: part.Digest})
	}
	return nil
}

// dataset reads a manifest: its files, and the sources by names, sizes and times.
func (t *Thing) dataset() error {
	t.Kind = Dataset
	m, err := shard.ReadManifest(files.Local(t.Path))
	if err != nil {
		return err
	}
	one := Thing{Path: filepath.Join(t.Path, shard.ManifestName)}
	if err := one.sum(); err != nil {
		return err
	}
	t.Digest = one.Digest
	t.fact("WordNet", m.WordNetVersion)
	t.part(shard.ClassesName, m.ClassesSHA256)
	for _, name := range slices.Sorted(maps.Keys(m.Splits)) {
		s := m.Splits[name]
		t.fact("images "+name, fmt.Sprint(s.Rows))
		t.part(name+"/"+shard.IndexName, s.IndexSHA256)
	}
	t.part(shard.RejectedName, m.RejectedSHA256)
	print, ok := record.Of(&m)
	if !ok {
		return nil
	}
	t.fact("check-images", print.Check)
	t.fact("on-bad", print.OnBad)
	if print.Resize > 0 {
		t.fact("shrink", fmt.Sprint(print.Resize))
		t.fact("quality", fmt.Sprint(print.Quality))
	}
	t.fact("shard-bytes", fmt.Sprint(print.ShardBytes))
	for _, split := range slices.Sorted(maps.Keys(print.Splits)) {
		for _, s := range print.Splits[split] {
			in := Input{Kind: Source, Name: s.Source, Facts: []Fact{{"split", split}}}
			if s.Entries != "" {
				in.Digest = Digest{"names_sizes_sha256", s.Entries}
			}
			if s.Truth != "" {
				in.Facts = append(in.Facts, Fact{"development kit", s.Truth})
			}
			if s.ValFraction > 0 {
				in.Facts = append(in.Facts, Fact{"val-fraction", fmt.Sprint(s.ValFraction)}, Fact{"seed", fmt.Sprint(s.Seed)})
			}
			t.From = append(t.From, in)
		}
	}
	for _, in := range []Input{
		{Kind: Source, Name: "boxes", Digest: Digest{"boxes_sha256", print.Boxes}},
		{Kind: Source, Name: "classes of exports", Digest: Digest{"classes_sha256", print.Exported}},
	} {
		if in.Digest.Value != "" {
			t.From = append(t.From, in)
		}
	}
	return nil
}

func (t *Thing) part(name, sum string) {
	if sum != "" {
		t.Files = append(t.Files, Input{Kind: File, Name: name, Digest: Digest{SHA256, sum}})
	}
}
