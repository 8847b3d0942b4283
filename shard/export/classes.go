package export

import (
	"fmt"
	"io"

	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// classList keeps the class list, whole for whoever makes a dataset of the
// export again, and beside trees as names, one a line.
func (e *exporter) classList(v *shard.View) error {
	classes := v.ClassList()
	if len(classes) == 0 {
		return nil
	}
	if err := e.out.MkdirBelow(shard.ExportName); err != nil {
		return err
	}
	if _, err := shard.WriteClasses(files.Below(e.out, shard.ExportName), classes); err != nil {
		return err
	}
	if err := e.mark.keep(e.out, shard.ClassesName); err != nil {
		return err
	}
	if e.o.To != "folder" && e.o.To != "tar" {
		return nil
	}
	err := files.Write(e.out, shard.ExportedClassesName, func(w io.Writer) error {
		for _, c := range classes {
			if _, err := fmt.Fprintln(w, utf8name.Escape(e.tree.dirs[c.Synset])); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		e.o.Made(shard.ExportedClassesName)
	}
	return err
}
