package torch

/*
#include <stdlib.h>
#include "synshard_torch.h"
*/
import "C"

import (
	"runtime/cgo"
	"time"
	"unsafe"

	"github.com/synshard/synshard/train"
)

// storeOf gives the shim a group's store: a handle that synshardStoreCall, which
// libtorch's threads call, resolves.
func storeOf(s train.Store) cgo.Handle { return cgo.NewHandle(s) }

//export synshardStoreCall
func synshardStoreCall(context C.uintptr_t, c *C.ss_store_call, message *C.char, n C.size_t) C.int {
	s := cgo.Handle(context).Value().(train.Store)
	timeout := time.Duration(float64(c.timeout_s) * float64(time.Second))
	a, err := s.Do(train.StoreCall{
		Op: train.StoreOp(c.op), Key: C.GoStringN(c.key, C.int(c.key_len)), Number: int64(c.number), Timeout: timeout,
		Value: C.GoBytes(unsafe.Pointer(c.value), C.int(c.value_len)),
	})
	if err != nil {
		text := err.Error()
		to := unsafe.Slice((*byte)(unsafe.Pointer(message)), int(n))
		to[copy(to[:len(to)-1], text)] = 0
		return C.SS_LOST_PEER
	}
	c.number = C.int64_t(a.Number)
	if c.op == C.SS_STORE_GET {
		c.out, c.out_len = (*C.uint8_t)(C.CBytes(a.Value)), C.int64_t(len(a.Value))
	}
	return C.SS_OK
}
