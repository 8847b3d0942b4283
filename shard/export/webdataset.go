package export

import (
	"archive/tar"
	"cmp"
	"encoding/json"
	"fmt"
	"io"

	"github.com/synshard/synshard/shard"
)

// webdataset writes samples whose key is the image's number in the view.
func (e *exporter) webdataset(w io.Writer, v *shard.View, from, to int) error {
	t := tar.NewWriter(w)
	err := e.each(v, from, to, func(i int, b []byte) error {
		r := v.Row(i)
		key := fmt.Sprintf("%09d", i)
		about := map[string]any{
			"path": r.Path, "width": r.Width, "height": r.Height, "format": r.Format, "mode": r.Mode,
			"sha256": fmt.Sprintf("%x", r.SHA256),
		}
		if err := member(t, key+extOf(r.Format), b); err != nil {
			return err
		}
		if label := v.Label(i); label >= 0 {
			about["label"], about["synset"] = label, r.Synset
			if err := member(t, key+".cls", []byte(fmt.Sprint(label))); err != nil {
				return err
			}
		}
		if len(r.Objects) > 0 {
			var objects []map[string]any
			for _, o := range r.Objects {
				objects = append(objects, map[string]any{"synset": o.Synset, "xmin": o.XMin, "ymin": o.YMin, "xmax": o.XMax, "ymax": o.YMax})
			}
			about["objects"] = objects
		}
		text, err := json.Marshal(about)
		if err != nil {
			return err
		}
		return member(t, key+".json", text)
	})
	return cmp.Or(err, t.Close())
}
