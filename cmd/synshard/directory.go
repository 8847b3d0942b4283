package main

import (
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/directory"
	"github.com/synshard/synshard/storage/files"
)

// openDir opens a directory to write into, here or at a URL.
func (a *app) openDir(name string) (files.Dir, error) {
	if !storage.IsURL(name) {
		return files.Local(name), nil
	}
	at, err := a.remote.paths.Place(a.remote.ctx, name)
	if err != nil {
		return nil, err
	}
	if a.remote.out == nil { // what is written is opened first
		a.remote.out = at
	}
	who, err := storage.ThisProcess()
	if err != nil {
		return nil, err
	}
	return directory.At(a.remote.ctx, at, directory.Options{
		Holder:    who,
		OnWait:    func(err error) { a.Logf("%v; waiting to see whether its holder is alive", err) },
		OnTrouble: func(err error) { a.Warnf("%v", err) },
	}), nil
}
