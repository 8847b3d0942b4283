package torch

import (
	"runtime"
	"strings"
	"sync"
)

// thread is one of the operating system's, which runs what it is given, one
// after the other.
type thread chan func()

func newThread() thread {
	t := make(thread)
	go func() {
		runtime.LockOSThread()
		for f := range t {
			f()
		}
	}()
	return t
}

// run returns when f has.
func (t thread) run(f func()) {
	done := make(chan struct{})
	t <- func() { f(); close(done) }
	<-done
}

// threads are those that the engines of one library work on. On the CPU each
// engine has its own, because OpenMP keeps a team of threads for each thread it
// is called from. A GPU's engines share one, which stays: cuDNN keeps for each
// thread which of its algorithms were found fastest, and finding out costs more
// than many steps.
type threads struct {
	mutex sync.Mutex
	gpus  map[string]thread
}

// of gives the thread for a new engine on a device, and what is to be called
// when the engine is closed.
func (t *threads) of(device string) (own thread, free func()) {
	if !strings.HasPrefix(device, "cuda") {
		own = newThread()
		return own, func() { close(own) }
	}
	if device == "cuda" {
		device = "cuda:0"
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	own = t.gpus[device]
	if own == nil {
		if t.gpus == nil {
			t.gpus = map[string]thread{}
		}
		own = newThread()
		t.gpus[device] = own
	}
	return own, func() {}
}
