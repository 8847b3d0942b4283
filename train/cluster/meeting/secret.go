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
	"math/big"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// LeastSecret is the fewest bytes that a given secret may have. A stranger who
// connects can try guesses at home, so it must be one that nobody guesses: random
// bytes, not a word.
const LeastSecret = 16

// NewSecret is a secret nobody knows.
func NewSecret() []byte { return []byte(rand.Text() + rand.Text()) }

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

// WriteSecret leaves a fresh secret in a file that none but this user reads, in
// place of one that an earlier group left.
func WriteSecret(path string) ([]byte, error) {
	secret := NewSecret()
	aside := make([]byte, 6) // named as internal/durable names what it may remove
	rand.Read(aside)
	temp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.tmp-%x", filepath.Base(path), aside))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("secret of the group: %w", err)
	}
	_, err = f.Write(secret)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return nil, fmt.Errorf("secret of the group: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return secret, nil
}

// ReadSecret reads what WriteSecret wrote, or a secret that somebody else chose:
// its bytes but for white space at both ends. own refuses a file that others than
// its owner may read.
func ReadSecret(path string, own bool) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("secret of the group: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("secret of the group: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("secret of the group: %s is not a regular file", path)
	case own && info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("secret of the group: others may read %s (%v)", path, info.Mode().Perm())
	}
	secret, err := io.ReadAll(io.LimitReader(f, 1<<16))
	if err != nil {
		return nil, fmt.Errorf("secret of the group: %w", err)
	}
	secret = bytes.TrimSpace(secret)
	return secret, CheckSecret(secret)
}

// CheckSecret refuses what could be guessed for its shortness.
func CheckSecret(secret []byte) error {
	if len(secret) < LeastSecret {
		return fmt.Errorf("secret of the group: %d bytes, want %d or more, random", len(secret), LeastSecret)
	}
	return nil
}
