package ort

/*
#include <signal.h>
#include <stdlib.h>

#define SIGNALS 32

// What is done on each signal, from 1 on.
static struct sigaction *signals_save(void) {
	struct sigaction *a = calloc(SIGNALS, sizeof *a);
	for (int i = 1; a && i < SIGNALS; i++)
		sigaction(i, NULL, &a[i]);
	return a;
}

// Changes those back that have changed; gives how many.
static int signals_restore(struct sigaction *a) {
	int changed = 0;
	for (int i = 1; a && i < SIGNALS; i++) {
		struct sigaction now;
		if (i == SIGKILL || i == SIGSTOP || sigaction(i, NULL, &now) != 0)
			continue;
		if (now.sa_sigaction != a[i].sa_sigaction && sigaction(i, &a[i], NULL) == 0)
			changed++;
	}
	free(a);
	return changed;
}

static void signals_replace_term(void) { signal(SIGTERM, SIG_DFL); }
*/
import "C"

// keepingSignals runs f and puts back what the process does on signals, which
// the CUDA provider replaces when a session is made and when it first runs:
// SIGTERM would end the process then instead of reaching Go. It gives the
// number of signals that were put back.
func keepingSignals(f func() error) (int, error) {
	saved := C.signals_save()
	err := f()
	return int(C.signals_restore(saved)), err
}

// stealTerm does to SIGTERM what the CUDA provider does: for the test, where
// no such provider is.
func stealTerm() { C.signals_replace_term() }
