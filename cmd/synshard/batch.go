package main

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"
)

// batchSize is --batch: a number of images, or auto, which the verb's help
// explains. The zero value is the verb's default.
type batchSize struct {
	auto bool
	n    int
}

// batchVar adds --batch, of the same form in every verb.
func batchVar(cmd *cobra.Command, b *batchSize, usage string) {
	cmd.Flags().Var(b, "batch", usage)
	complete(cmd, "batch", "auto")
}

func (b *batchSize) String() string {
	switch {
	case b.auto:
		return "auto"
	case b.n == 0:
		return ""
	}
	return strconv.Itoa(b.n)
}

func (b *batchSize) Type() string { return "N|auto" }

func (b *batchSize) Set(s string) error {
	if s == "auto" {
		*b = batchSize{auto: true}
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 1 || n > 1<<16 {
		return errors.New("want 1 to 65536, or auto")
	}
	*b = batchSize{n: int(n)}
	return nil
}
