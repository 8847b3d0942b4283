package main

import (
	"os"

	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/train/cluster"
	"github.com/synshard/synshard/train/cluster/meeting"
)

// secretVariable holds the secret itself, which a command line would show.
const secretVariable = "SYNSHARD_TRAIN_SECRET"

// secretOf is the secret given, or else the run directory's. On one machine, where
// all keep to loopback, there may be neither.
func (flags *trainOptions) secretOf(l cluster.Launch) (meeting.Secret, error) {
	given := os.Getenv(secretVariable)
	switch {
	case given != "" && flags.secretFile != "":
		return meeting.Secret{}, usagef("--secret-file and %s: one or the other", secretVariable)
	case given != "":
		if err := meeting.CheckSecret([]byte(given)); err != nil {
			return meeting.Secret{}, usagef("%s: %w", secretVariable, err)
		}
		return meeting.Known([]byte(given)), nil
	case flags.secretFile != "":
		secret, err := meeting.ReadSecret(flags.secretFile, false)
		return meeting.Known(secret), err
	case flags.out != "" && !storage.IsURL(flags.out):
		return meeting.SecretIn(flags.out, l.Rank)
	case l.LocalWorld == l.World:
		return meeting.Known(nil), nil
	}
	return meeting.Secret{}, usagef("processes on several machines need a secret by which they know each other: give --secret-file, %s, or an --out that is a directory and that all of them see", secretVariable)
}
