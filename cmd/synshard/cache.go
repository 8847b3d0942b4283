package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/loader"
)

// cacheOptions say what becomes of a dataset's bytes once they are read.
type cacheOptions struct {
	mode     string
	pinBytes int64
}

func addCacheFlags(cmd *cobra.Command) *cacheOptions {
	c := &cacheOptions{}
	choiceVar(cmd, &c.mode, "cache", "page", "none (forget what was read), page (the kernel's cache) or pin (keep in memory)", "none", "page", "pin")
	cmd.Flags().Int64Var(&c.pinBytes, "pin-bytes", 1<<30, "with --cache pin: at most so many bytes")
	return c
}

func (c *cacheOptions) check() error {
	if c.pinBytes < 0 {
		return usagef("--pin-bytes %d: want 0 or more", c.pinBytes)
	}
	return nil
}

// apply gives the source to read from and fits the loader's options: place
// says where in the files of dir a row lies. Close what it gives at the end.
func (c *cacheOptions) apply(src loader.Source, dir string, place func(i int) (file string, offset, length int64), o *loader.Options) (loader.Source, io.Closer) {
	if c.mode == "pin" {
		return loader.Pin(src, c.pinBytes), io.NopCloser(nil)
	}
	rows := src.Len()
	advisor := loader.NewFileAdvisor(dir, func(i int) (string, int64, int64) { return place(i % rows) })
	o.Advisor, o.Forget = advisor, c.mode == "none"
	return src, advisor
}
