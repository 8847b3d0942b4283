package main

import (
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/directory"
	"github.com/synshard/synshard/storage/files"
)

// openDir opens a directory, here or at a URL.
func (a *app) openDir(name string) (files.Dir, error) {
	to, _, err := a.openPlace(name)
	return to, err
}

// openWritten is openDir of the directory that the verb writes, of whose traffic its result tells.
func (a *app) openWritten(name string) (files.Dir, error) {
	to, at, err := a.openPlace(name)
	a.remote.out = at
	return to, err
}

// openPlace opens a directory; at is nil where it is here.
func (a *app) openPlace(name string) (to files.Dir, at *storage.Place, err error) {
	if !storage.IsURL(name) {
		return files.Local(name), nil, nil
	}
	if at, err = a.remote.paths.Place(a.remote.ctx, name); err != nil {
		return nil, nil, err
	}
	who, err := storage.ThisProcess()
	if err != nil {
		return nil, nil, err
	}
	return directory.At(a.remote.ctx, at, directory.Options{
		Holder:    who,
		OnWait:    func(err error) { a.Logf("%v; waiting to see whether its holder is alive", err) },
		OnTrouble: func(err error) { a.Warnf("%v", err) },
	}), at, nil
}
