package shard

import (
	"errors"
	"io/fs"

	"github.com/synshard/synshard/internal/openfiles"
	"github.com/synshard/synshard/storage/files"
)

// mostFiles bounds the shards kept open, of which ImageNet-21k has more than a
// process may open; it keeps half of those at most.
const mostFiles = 4096

// openShards are the shards of a dataset that are kept open, by their names.
type openShards struct {
	*openfiles.Pool[string, files.Opened]
}

func newOpenShards(dir files.Dir, most int) openShards {
	return openShards{openfiles.New(most, dir.Open)}
}

// get gives a shard, which is to be released.
func (o openShards) get(name string) (*openfiles.File[string, files.Opened], error) {
	f, err := o.Get(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, corruptf("the shard is missing")
	case err != nil:
		return nil, ownFile(err)
	}
	return f, nil
}
