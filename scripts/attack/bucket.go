//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// beside is where the S3 server keeps what is said of objects, whose path may not begin with its root.
func beside(root string) string {
	return filepath.Join(filepath.Dir(root), "side-"+filepath.Base(root))
}

// buckets starts an S3 server on loopback in which each trial's directory is a bucket, until the process ends. In arguments s3@NAME stands
// for the object of that name in the trial's own, and what is kept here of it lies in kept/, at which nobody looks.
func (s *scene) buckets() error {
	program := filepath.Join(s.cache, "synshard", "versitygw")
	if _, err := os.Stat(program); err != nil {
		s.noS3 = "no S3 server: scripts/s3server.sh builds it"
		return nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := l.Addr().String()
	side := beside(s.root)
	if err := os.Mkdir(side, 0o777); err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	const key, secret = "synshard", "not-a-secret"
	server := exec.Command(program, "--quiet", "--port", addr, "--access", key, "--secret", secret, "posix", "--sidecar", side, s.root)
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the server dies with the thread that started it
		err := server.Start()
		started <- err
		if err == nil {
			server.Wait() // its status says nothing
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	for range 500 {
		if c, err := net.Dial("tcp", addr); err == nil {
			s.aws = []string{"AWS_ACCESS_KEY_ID=" + key, "AWS_SECRET_ACCESS_KEY=" + secret, "AWS_REGION=us-east-1", "AWS_ENDPOINT_URL_S3=http://" + addr,
				"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true"}
			return c.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("the S3 server at %s does not answer", addr)
}
