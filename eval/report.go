package eval

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/synshard/synshard/infer/prediction/encode"
	"github.com/synshard/synshard/storage/files"
)

// reportTable is one Arrow file of a report: columns of equal length, each []string,
// []int64 or []float64.
type reportTable struct {
	name    string
	columns []column
}

type column struct {
	name   string
	values any
}

// WriteReport writes a report as Arrow files into dir: synsets.arrow,
// confusions.arrow, calibration.arrow and, where there is a Hierarchy,
// subtrees.arrow and rollups.arrow. Each has the figures that are no table in its
// schema's metadata, as JSON, under synshard.report. dir is made if missing; a
// file is whole or absent.
func WriteReport(dir files.Dir, r Report) error {
	if err := dir.MkdirAll("."); err != nil {
		return err
	}
	tables := []reportTable{synsetTable(r.Synsets), confusionTable(r.Pairs), calibrationTable(r.Calibration.Bins)}
	if h := r.Hierarchy; h != nil {
		tables = append(tables, subtreeTable(h.Subtrees), rollupTable(h.Rollups))
		short := *h
		short.Subtrees = nil
		r.Hierarchy = &short
	}
	r.Synsets, r.Pairs, r.Calibration.Bins = nil, nil, nil
	summary, err := json.Marshal(r)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := t.write(dir, string(summary)); err != nil {
			return fmt.Errorf("%s: %w", dir.Path(t.name), err)
		}
	}
	return nil
}

// WriteComparison writes comparison.arrow, a row, into dir.
func WriteComparison(dir files.Dir, c Comparison) error {
	if err := dir.MkdirAll("."); err != nil {
		return err
	}
	summary, err := json.Marshal(c)
	if err != nil {
		return err
	}
	t := comparisonTable([]Comparison{c})
	if err := t.write(dir, string(summary)); err != nil {
		return fmt.Errorf("%s: %w", dir.Path(t.name), err)
	}
	return nil
}

// WriteSuspects writes suspects.arrow into dir, a row a suspect in their order.
func WriteSuspects(dir files.Dir, s *Suspects) error {
	if err := dir.MkdirAll("."); err != nil {
		return err
	}
	short := *s
	short.Suspected = nil
	summary, err := json.Marshal(short)
	if err != nil {
		return err
	}
	t := suspectTable(s.Suspected)
	if err := t.write(dir, string(summary)); err != nil {
		return fmt.Errorf("%s: %w", dir.Path(t.name), err)
	}
	return nil
}

func suspectTable(rows []Suspect) reportTable {
	return reportTable{"suspects.arrow", []column{
		by("row", rows, func(r Suspect) int64 { return int64(r.Row) }),
		by("path", rows, func(r Suspect) string { return r.Path }),
		by("given", rows, func(r Suspect) string { return r.Given }),
		by("suggested", rows, func(r Suspect) string { return r.Suggested }),
		by("self_confidence", rows, func(r Suspect) float64 { return r.SelfConfidence }),
		by("confidence", rows, func(r Suspect) float64 { return r.Confidence }),
		by("margin", rows, func(r Suspect) float64 { return r.Margin }),
	}}
}

func comparisonTable(rows []Comparison) reportTable {
	return reportTable{"comparison.arrow", []column{
		by("n", rows, func(r Comparison) int64 { return int64(r.N) }),
		by("top1_a", rows, func(r Comparison) float64 { return r.A }),
		by("top1_b", rows, func(r Comparison) float64 { return r.B }),
		by("difference", rows, func(r Comparison) float64 { return r.Difference }),
		by("low", rows, func(r Comparison) float64 { return r.Low }),
		by("high", rows, func(r Comparison) float64 { return r.High }),
		by("resamples", rows, func(r Comparison) int64 { return int64(r.Resamples) }),
		by("only_a", rows, func(r Comparison) int64 { return int64(r.OnlyA) }),
		by("only_b", rows, func(r Comparison) int64 { return int64(r.OnlyB) }),
		by("p_exact", rows, func(r Comparison) float64 { return r.PExact }),
		by("p_mid", rows, func(r Comparison) float64 { return r.PMid }),
	}}
}

// by makes a column of one value a row.
func by[R, V any](name string, rows []R, value func(R) V) column {
	values := make([]V, len(rows))
	for i, r := range rows {
		values[i] = value(r)
	}
	return column{name, values}
}

func synsetTable(rows []SynsetReport) reportTable {
	return reportTable{"synsets.arrow", []column{
		by("synset", rows, func(r SynsetReport) string { return r.Synset }),
		by("n", rows, func(r SynsetReport) int64 { return int64(r.N) }),
		by("top1", rows, func(r SynsetReport) float64 { return r.Top1 }),
		by("top5", rows, func(r SynsetReport) float64 { return r.Top5 }),
		by("precision", rows, func(r SynsetReport) float64 { return r.Precision }),
		by("recall", rows, func(r SynsetReport) float64 { return r.Recall }),
		by("predicted", rows, func(r SynsetReport) int64 { return int64(r.Predicted) }),
	}}
}

func confusionTable(rows []Confusion) reportTable {
	return reportTable{"confusions.arrow", []column{
		by("truth", rows, func(r Confusion) string { return r.Truth }),
		by("predicted", rows, func(r Confusion) string { return r.Predicted }),
		by("n", rows, func(r Confusion) int64 { return int64(r.N) }),
	}}
}

func calibrationTable(rows []CalibrationBin) reportTable {
	return reportTable{"calibration.arrow", []column{
		by("low", rows, func(r CalibrationBin) float64 { return r.Low }),
		by("high", rows, func(r CalibrationBin) float64 { return r.High }),
		by("n", rows, func(r CalibrationBin) int64 { return int64(r.N) }),
		by("confidence", rows, func(r CalibrationBin) float64 { return r.Confidence }),
		by("accuracy", rows, func(r CalibrationBin) float64 { return r.Accuracy }),
	}}
}

func subtreeTable(rows []SubtreeReport) reportTable {
	return reportTable{"subtrees.arrow", []column{
		by("synset", rows, func(r SubtreeReport) string { return r.Synset }),
		by("classes", rows, func(r SubtreeReport) int64 { return int64(r.Classes) }),
		by("n", rows, func(r SubtreeReport) int64 { return int64(r.N) }),
		by("top1", rows, func(r SubtreeReport) float64 { return r.Top1 }),
		by("inside", rows, func(r SubtreeReport) float64 { return r.Inside }),
	}}
}

func rollupTable(rows []RollupAccuracy) reportTable {
	return reportTable{"rollups.arrow", []column{
		by("name", rows, func(r RollupAccuracy) string { return r.Name }),
		by("groups", rows, func(r RollupAccuracy) int64 { return int64(r.Groups) }),
		by("n", rows, func(r RollupAccuracy) int64 { return int64(r.N) }),
		by("top1", rows, func(r RollupAccuracy) float64 { return r.Top1 }),
	}}
}

func (t reportTable) write(dir files.Dir, summary string) error {
	var fields []arrow.Field
	for _, c := range t.columns {
		var kind arrow.DataType = arrow.BinaryTypes.String
		switch c.values.(type) {
		case []int64:
			kind = arrow.PrimitiveTypes.Int64
		case []float64:
			kind = arrow.PrimitiveTypes.Float64
		}
		fields = append(fields, arrow.Field{Name: c.name, Type: kind})
	}
	md := arrow.NewMetadata([]string{"synshard.report"}, []string{summary})
	schema := arrow.NewSchema(fields, &md)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i, c := range t.columns {
		switch v := c.values.(type) {
		case []string:
			b.Field(i).(*array.StringBuilder).AppendValues(v, nil)
		case []int64:
			b.Field(i).(*array.Int64Builder).AppendValues(v, nil)
		case []float64:
			b.Field(i).(*array.Float64Builder).AppendValues(v, nil)
		}
	}
	rec := b.NewRecord()
	defer rec.Release()
	return files.Write(dir, t.name, func(w io.Writer) error { return encode.WriteArrow(w, rec) })
}
