package main

import (
	"github.com/spf13/cobra"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/shard"
)

// cacheOptions say what becomes of a dataset's bytes once they are read.
type cacheOptions struct {
	mode     string
	pinBytes int64
	changed  func(flag string) bool
}

func addCacheFlags(cmd *cobra.Command) *cacheOptions {
	c := &cacheOptions{changed: cmd.Flags().Changed}
	choiceVar(cmd, &c.mode, "cache", "page", "none (forget what was read), page (the kernel's cache) or pin (keep in memory)", "none", "page", "pin")
	cmd.Flags().Int64Var(&c.pinBytes, "pin-bytes", 1<<30, "with --cache pin: at most so many bytes")
	return c
}

func (c *cacheOptions) check() error {
	if c.pinBytes < 0 {
		return usagef("--pin-bytes %d: want 0 or more", c.pinBytes)
	}
	if c.changed("pin-bytes") && c.mode != "pin" {
		return usagef("--pin-bytes has no effect without --cache pin")
	}
	return nil
}

// apply gives the source to read from and fits the loader's options: row says where in the
// files of set a row of src lies.
func (c *cacheOptions) apply(src loader.Source, set *shard.Dataset, row func(i int) shard.Row, o *loader.Options) loader.Source {
	if c.mode == "pin" {
		return loader.Pin(src, c.pinBytes)
	}
	o.Advisor, o.Forget = set.Advisor(src.Len(), row), c.mode == "none"
	return src
}
