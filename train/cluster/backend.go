package cluster

import (
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train"
)

// Backend makes the engine of one process; *torch.Shim is one.
type Backend interface {
	// NewEngine builds an engine for a network. With a Group of several in its
	// configuration it waits until all processes of the group have called it. An
	// engine with a method Abort() can have an exchange ended that it waits in.
	NewEngine(*model.Network, train.EngineConfig) (train.Engine, error)
	// Meet hands rank 0's word to every other process through a launcher's store.
	// A word that does not come is train.ErrPeerLost.
	Meet(m train.Meeting, word string) (string, error)
	// Version is that of the engine's library, which must be the same everywhere.
	Version() string
}
