package torch

import (
	"embed"
	"io/fs"
)

//go:embed all:shim
var shimDir embed.FS

// Source is the source of the engine's library, with build.sh, which builds it
// against a PyTorch.
func Source() fs.FS {
	sub, err := fs.Sub(shimDir, "shim")
	if err != nil {
		panic(err) // the name is well formed
	}
	return sub
}
