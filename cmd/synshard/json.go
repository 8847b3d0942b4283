package main

import (
	"fmt"
	"slices"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/infer/images"
	"github.com/synshard/synshard/ingest"
	"github.com/synshard/synshard/source/layout"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/train/runlog"
)

// What --json says where the packages' own fields, which are those of files on disk, are
// called otherwise than docs/JSON.md has it.

// skippedJSON is a kind of files that are left out: images, or others.
type skippedJSON struct {
	Reason string   `json:"reason"`
	Images int      `json:"images,omitempty"` // how many, where they are images
	Files  int      `json:"files,omitempty"`  // how many, where they are none
	Names  []string `json:"names"`            // the first few
}

func skippedOf(s layout.Skipped) skippedJSON {
	out := skippedJSON{Reason: s.Reason, Names: s.Names}
	if s.Images {
		out.Images = s.Count
	} else {
		out.Files = s.Count
	}
	return out
}

func allSkipped(list []layout.Skipped) []skippedJSON {
	var out []skippedJSON
	for _, s := range list {
		if !s.Doubt {
			out = append(out, skippedOf(s))
		}
	}
	return out
}

// withDoubts adds to notes those on archives that may have been cut off.
func withDoubts(notes []string, list []layout.Skipped) []string {
	notes = slices.Clone(notes)
	for _, s := range list {
		if s.Doubt {
			notes = append(notes, fmt.Sprintf("%s (%s)", s.Reason, s.Examples()))
		}
	}
	return notes
}

// missingOf is what a list names and nobody has; nil where all are there.
func missingOf(s *layout.Skipped) *skippedJSON {
	if s == nil {
		return nil
	}
	out := skippedOf(*s)
	return &out
}

// ingestPlanJSON is what ingest --dry-run prints.
type ingestPlanJSON struct {
	*ingest.Plan
	Skipped []skippedJSON `json:"skipped,omitempty"`
	Notes   []string      `json:"notes,omitempty"`
	Missing *skippedJSON  `json:"missing,omitempty"`
}

// ingestJSON is what ingest prints.
type ingestJSON struct {
	ingest.Summary
	Skipped []skippedJSON    `json:"skipped,omitempty"`
	Notes   []string         `json:"notes,omitempty"`
	Written *storage.Figures `json:"storage_out,omitempty"`
}

// inferPlanJSON is what infer --dry-run prints.
type inferPlanJSON struct {
	images.Plan
	Skipped []skippedJSON `json:"skipped,omitempty"`
	Notes   []string      `json:"notes,omitempty"`
	Missing *skippedJSON  `json:"missing,omitempty"`
}

// scoreJSON is a network's score on a split.
type scoreJSON struct {
	N    int           `json:"images"`
	Top1 float64       `json:"top1"`
	Top5 float64       `json:"top5"`
	Loss runlog.Number `json:"loss"`
}

// evaluationJSON is a validation.
type evaluationJSON struct {
	Step     int64      `json:"step"`
	Epoch    int        `json:"epoch"`
	Raw      scoreJSON  `json:"raw"`
	EMA      *scoreJSON `json:"ema,omitempty"`
	Seconds  float64    `json:"seconds"`
	Rejected int64      `json:"rejected"`
}

func evaluationOf(e runlog.Evaluation) evaluationJSON {
	e = e.Counted()
	out := evaluationJSON{Step: e.Step, Epoch: e.Epoch, Raw: scoreJSON(e.Raw), Seconds: e.Seconds, Rejected: e.Skipped}
	if e.EMA != nil {
		ema := scoreJSON(*e.EMA)
		out.EMA = &ema
	}
	return out
}

func evaluationOrNone(e *runlog.Evaluation) *evaluationJSON {
	if e == nil {
		return nil
	}
	out := evaluationOf(*e)
	return &out
}

// comparisonJSON is what eval --compare prints.
type comparisonJSON struct {
	A string `json:"a"` // the files, as they were given
	B string `json:"b"`
	eval.Comparison
}
