// Package meeting is how the processes of a training group find each other and
// prove that they belong together. Rank 0 listens, the others come; both sides of
// a connection show that they hold the group's secret before a word is believed,
// and what goes over it afterwards is TLS 1.3. A stranger who connects and is
// silent, slow, or says something else neither holds up nor ends a meeting.
package meeting

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// leastSecret is the fewest bytes that a given secret may have. A stranger who
// connects can try guesses at home, so it must be one that nobody guesses: random
// bytes, not a word.
const leastSecret = 16

// newSecret is a secret nobody knows.
func newSecret() []byte { return []byte(rand.Text() + rand.Text()) }

// identity is what a process that holds a secret shows: a key pair that is a
// function of it. Both sides have the same, and each proves in TLS's handshake
// that it can sign with it; the two signatures are over different things, so that
// neither can be sent back as one's own.
func identity(secret []byte) (*tls.Config, error) {
	seed, err := hkdf.Key(sha256.New, secret, nil, "synshard training group", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	public := key.Public().(ed25519.PublicKey)
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0)}
	certificate, err := x509.CreateCertificate(rand.Reader, about, about, public, key)
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}},
		ClientAuth:   tls.RequireAnyClientCert,
		// No authority vouches for anybody: the other side's key must be ours.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !public.Equal(s.PeerCertificates[0].PublicKey) {
				return errStranger
			}
			return nil
		},
		SessionTicketsDisabled: true,
	}, nil
}

// errStranger is another side that does not hold the secret.
var errStranger = errors.New("it does not hold this group's secret")

// SecretName is the file in a directory of the group's by which its processes recognise
// each other where they were given no secret.
const SecretName = ".group-secret"

// Secret is what the processes of a group know and no one else.
type Secret struct {
	Get    func() ([]byte, error) // asked at each try to meet; see Place.Secret
	Forget func()                 // for when all have come
}

// Known is a secret that was given; nil is none.
func Known(secret []byte) Secret {
	return Secret{Get: func() ([]byte, error) { return secret, nil }, Forget: func() {}}
}

// SecretIn is a secret that is left in dir, which all processes of the group see: rank 0
// makes a fresh one, and dir where it is missing, and forgets both when all have come; the
// others read it whenever they try. What dir holds else is left alone.
func SecretIn(dir string, rank int) (Secret, error) {
	path := filepath.Join(dir, SecretName)
	if rank > 0 {
		return Secret{Get: func() ([]byte, error) { return ReadSecret(path, true) }, Forget: func() {}}, nil
	}
	_, before := os.Stat(dir)
	if err := durable.MkdirAll(dir); err != nil {
		return Secret{}, err
	}
	secret, err := WriteSecret(path)
	s := Known(secret)
	s.Forget = func() {
		os.Remove(path)
		if before != nil { // it was made for this, and a call that is refused leaves none
			os.Remove(dir)
		}
	}
	return s, err
}

// WriteSecret leaves a fresh secret in a file that none but this user reads, in
// place of one that an earlier group left.
func WriteSecret(path string) ([]byte, error) {
	secret := newSecret()
	err := durable.WritePrivate(path, func(w io.Writer) error {
		_, err := w.Write(secret)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("secret of the group: %w", err)
	}
	return secret, nil
}

// ReadSecret reads a secret: a file's bytes but for white space at both ends. own
// is for one that WriteSecret wrote: no link, and no file that others may read.
func ReadSecret(path string, own bool) ([]byte, error) {
	secret, err := readSecret(path, own)
	if err != nil {
		return nil, fmt.Errorf("secret of the group: %w", err)
	}
	return secret, CheckSecret(secret)
}

func readSecret(path string, own bool) ([]byte, error) {
	if own {
		info, err := os.Lstat(path)
		if err != nil {
			return nil, err
		}
		if info.Mode()&fs.ModeSymlink != 0 || info.Mode().Perm()&0o077 != 0 {
			return nil, fmt.Errorf("others may read or choose what %s is (%v)", path, info.Mode())
		}
	}
	text, err := regular.ReadFile(path, 1<<16)
	return bytes.TrimSpace(text), err
}

// CheckSecret refuses what could be guessed for its shortness.
func CheckSecret(secret []byte) error {
	if len(secret) < leastSecret {
		return fmt.Errorf("secret of the group: %d bytes, want %d or more, random", len(secret), leastSecret)
	}
	return nil
}
