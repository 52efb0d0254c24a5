package mailbox

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestTokens(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	session, err := s.NewToken(ctx, TokenSession, ann.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := s.Token(TokenSession, session); err != nil || got.Account != ann.ID {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if _, err := s.Token(TokenSetup, session); !errors.Is(err, ErrNotFound) {
		t.Errorf("a session opens the setup: %v", err)
	}
	old, err := s.NewToken(ctx, TokenSession, ann.ID, -time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Token(TokenSession, old); !errors.Is(err, ErrNotFound) {
		t.Errorf("expired: %v", err)
	}
	link, err := s.NewToken(ctx, TokenSignIn, ann.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var in atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.TakeToken(ctx, TokenSignIn, link); err == nil {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Errorf("%d came in by one link", in.Load())
	}
	if err := s.SetPassword(ctx, ann.Address, "changed"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Token(TokenSession, session); !errors.Is(err, ErrNotFound) {
		t.Errorf("a session outlives the password: %v", err)
	}
}
