package export

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// objects keeps the boxes of all images, in one form for every form of export:
// trees and tars have no place for them.
func (e *exporter) objects(splits []Split) error {
	some := slices.ContainsFunc(splits, func(s Split) bool {
		for i := range s.View.Len() {
			if len(s.View.Row(i).Objects) > 0 {
				return true
			}
		}
		return false
	})
	if !some {
		return nil
	}
	if err := e.out.MkdirBelow(shard.ExportName); err != nil {
		return err
	}
	err := files.Write(e.out, shard.ExportName+"/"+shard.ObjectsName, func(w io.Writer) error {
		out := bufio.NewWriter(w)
		lines := json.NewEncoder(out)
		for _, s := range splits {
			names := e.readAs(s.View)
			for i := range s.View.Len() {
				name, err := names(i)
				if err != nil {
					return err
				}
				r := s.View.Row(i)
				if len(r.Objects) == 0 {
					continue
				}
				line := shard.ExportedObjects{SHA256: fmt.Sprintf("%x", r.SHA256), Path: r.Path, Objects: r.Objects}
				if name != r.Path {
					line.Name = name
				}
				if err := lines.Encode(line); err != nil {
					return err
				}
			}
		}
		return out.Flush()
	})
	if err != nil {
		return err
	}
	return e.mark.keep(e.out, shard.ObjectsName)
}

// readAs gives the names by which images are known when the export is read, in
// ascending order of the images.
func (e *exporter) readAs(v *shard.View) func(i int) (string, error) {
	switch e.o.To {
	case "webdataset": // which has the path itself
		return func(i int) (string, error) { return v.Path(i), nil }
	case "hf":
		return newNamer(v, rowChoices).name
	}
	// What is in a tree under another name gets its own back before it is looked for.
	return func(i int) (string, error) { return v.Path(i), nil }
}
