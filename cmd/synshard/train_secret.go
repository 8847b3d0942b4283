package main

import (
	"os"
	"path/filepath"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/train/cluster"
	"github.com/synshard/synshard/train/cluster/meeting"
)

const (
	// secretVariable holds the secret itself, which a command line would show.
	secretVariable = "SYNSHARD_TRAIN_SECRET"
	// secretName is the file in the run directory by which the processes of a group
	// that was given no secret recognise each other: rank 0 leaves a fresh one there
	// while it waits for the others.
	secretName = ".group-secret"
)

// groupSecret is what the processes of a launched group know and no one else.
type groupSecret struct {
	get    func() ([]byte, error)
	forget func() // when all have come
}

// secretOf is the secret given, or else the run directory's. On one machine, where
// all keep to loopback, there may be neither.
func (flags *trainOptions) secretOf(l cluster.Launch) (groupSecret, error) {
	given := os.Getenv(secretVariable)
	switch {
	case given != "" && flags.secretFile != "":
		return groupSecret{}, usagef("--secret-file and %s: one or the other", secretVariable)
	case given != "":
		if err := meeting.CheckSecret([]byte(given)); err != nil {
			return groupSecret{}, usagef("%s: %w", secretVariable, err)
		}
		return known([]byte(given)), nil
	case flags.secretFile != "":
		secret, err := meeting.ReadSecret(flags.secretFile, false)
		return known(secret), err
	case flags.out != "":
		return secretIn(flags.out, l.Rank)
	case l.LocalWorld == l.World:
		return known(nil), nil
	}
	return groupSecret{}, usagef("processes on several machines need a secret by which they know each other: give --secret-file, %s, or an --out that all of them see", secretVariable)
}

func known(secret []byte) groupSecret {
	return groupSecret{get: func() ([]byte, error) { return secret, nil }, forget: func() {}}
}

// secretIn is the run directory's secret: rank 0 makes it, the others read it
// whenever they try.
func secretIn(dir string, rank int) (groupSecret, error) {
	path := filepath.Join(dir, secretName)
	if rank > 0 {
		return groupSecret{get: func() ([]byte, error) { return meeting.ReadSecret(path, true) }, forget: func() {}}, nil
	}
	_, before := os.Stat(dir)
	if err := durable.MkdirAll(dir); err != nil {
		return groupSecret{}, err
	}
	secret, err := meeting.WriteSecret(path)
	s := known(secret)
	s.forget = func() {
		os.Remove(path)
		if before != nil { // it was made for this, and a call that is refused leaves none
			os.Remove(dir)
		}
	}
	return s, err
}
