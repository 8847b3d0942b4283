package main

import (
	"os"

	"github.com/synshard/synshard/internal/native"
)

// search is where native libraries and WordNet are looked for.
func search() native.Search {
	s := native.Search{Env: os.Getenv}
	// Without either there is one place less to look in.
	if exe, err := os.Executable(); err == nil {
		s.Executable = exe
	}
	if cache, err := os.UserCacheDir(); err == nil {
		s.Cache = cache
	}
	return s
}

// findTorch gives the path of the training engine's library; flag is
// --torch-lib.
func (a *app) findTorch(flag string) (string, error) { return search().Torch(flag) }

// findORT gives the path of ONNX Runtime's library; flag is --ort-lib.
func (a *app) findORT(flag string) (string, error) { return search().ORT(flag) }

// findWordNet gives a directory that holds data.noun; flag is --wordnet.
func (a *app) findWordNet(flag string) (string, error) { return search().WordNet(flag) }
