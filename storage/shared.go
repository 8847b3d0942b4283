package storage

import (
	"context"
	"errors"
	"path"
	"strings"
)

// sharedMark is between the name of a lock and what tells those apart who share it.
const sharedMark = ".shared-"

// ShareLock takes a lock together with others who share it: each has a lock of its own
// beside it, by the name of member, so that whoever comes after a dead one takes the dead
// one's place. AloneLock keeps them out, and is kept out by them: both say first that they
// are there, and look then, so that of two who begin at the same moment at least one sees
// the other. All else is as AwaitLock's.
func (p *Place) ShareLock(ctx context.Context, name, member string, who Holder, lost func(), onWait func(error)) (*Lock, error) {
	l, err := p.AwaitLock(ctx, name+sharedMark+member, who, lost, onWait)
	if err != nil {
		return nil, err
	}
	if err := p.awaitDead(ctx, name, who, onWait); err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	return l, nil
}

// AloneLock is AwaitLock of a lock that others share. Those who are dead are cleared away.
func (p *Place) AloneLock(ctx context.Context, name string, who Holder, lost func(), onWait func(error)) (*Lock, error) {
	l, err := p.AwaitLock(ctx, name, who, lost, onWait)
	if err != nil {
		return nil, err
	}
	dir := path.Dir(name)
	if dir == "." {
		dir = ""
	}
	others, err := p.Entries(ctx, dir, 0)
	for _, o := range others {
		if err != nil || !strings.HasPrefix(o.Name, name+sharedMark) {
			continue
		}
		if strings.HasSuffix(o.Name, clockMark) { // whose lock's turn comes by itself
			err = p.Remove(ctx, o.Name)
		} else {
			err = p.clear(ctx, o.Name, who, onWait)
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	return l, nil
}

// clear removes the lock of a dead one, which it takes first: of two who found it dead, or
// one and its holder come again, the later one removes nothing of the other's.
func (p *Place) clear(ctx context.Context, name string, who Holder, onWait func(error)) error {
	l, err := p.AwaitLock(ctx, name, who, func() {}, onWait)
	if err != nil {
		return err
	}
	return l.Unlock()
}
