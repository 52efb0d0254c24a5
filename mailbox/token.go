package mailbox

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"time"
)

// TokenKind says what a token opens.
type TokenKind string

// The kinds of token.
const (
	TokenSession TokenKind = "session" // a signed-in browser, many times
	TokenSignIn  TokenKind = "sign-in" // a link that signs an account in, once
	TokenSetup   TokenKind = "setup"   // the first administrator's way in, once
)

// Token is a right that whoever shows its secret has until it expires. The
// store keeps a hash of the secret, which has 128 random bits.
type Token struct {
	Kind    TokenKind `json:"kind"`
	Account AccountID `json:"account,omitempty"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

func tokenKey(kind TokenKind, secret string) []byte {
	sum := sha256.Sum256([]byte(string(kind) + " " + secret))
	return sum[:]
}

// NewToken makes a token that is good for a time, and returns its secret: 26
// letters and digits. Tokens that have expired are swept out on the way.
func (s *Store) NewToken(ctx context.Context, kind TokenKind, id AccountID, good time.Duration) (secret string, err error) {
	secret = rand.Text()
	now := time.Now().UTC()
	t := Token{Kind: kind, Account: id, Created: now, Expires: now.Add(good)}
	err = s.update(ctx, func(tx *tx) error {
		if err := tx.dropTokens(func(t *Token) bool { return !t.Expires.After(now) }); err != nil {
			return err
		}
		return tx.putJSON(bTokens, tokenKey(kind, secret), &t)
	})
	return secret, err
}

// Token finds what a secret opens. ErrNotFound when it opens nothing, or no
// more.
func (s *Store) Token(kind TokenKind, secret string) (Token, error) {
	var t *Token
	err := s.view(func(tx *tx) (err error) {
		t, err = tx.token(kind, secret)
		return err
	})
	if err != nil {
		return Token{}, err
	}
	return *t, nil
}

// TakeToken is Token that also takes the right away: of all who show the
// secret, one gets in. ErrNotFound.
func (s *Store) TakeToken(ctx context.Context, kind TokenKind, secret string) (Token, error) {
	var t *Token
	err := s.update(ctx, func(tx *tx) (err error) {
		if t, err = tx.token(kind, secret); err != nil {
			return err
		}
		return tx.delete(bTokens, tokenKey(kind, secret))
	})
	if err != nil {
		return Token{}, err
	}
	return *t, nil
}

// DropTokens takes away every token that which holds for.
func (s *Store) DropTokens(ctx context.Context, which func(*Token) bool) error {
	return s.update(ctx, func(tx *tx) error { return tx.dropTokens(which) })
}

func (tx *tx) token(kind TokenKind, secret string) (*Token, error) {
	v := tx.Bucket(bTokens).Get(tokenKey(kind, secret))
	if v == nil {
		return nil, faultf(ErrNotFound, "the link or session is not valid, or was used already")
	}
	t := new(Token)
	if err := json.Unmarshal(v, t); err != nil {
		return nil, err
	}
	if !t.Expires.After(time.Now()) {
		return nil, faultf(ErrNotFound, "the link or session has expired")
	}
	return t, nil
}

func (tx *tx) dropTokens(which func(*Token) bool) error {
	var keys [][]byte
	err := tx.each(bTokens, nil, func(k, v []byte) error {
		var t Token
		if err := json.Unmarshal(v, &t); err != nil {
			return err
		}
		if which(&t) {
			keys = append(keys, append([]byte(nil), k...))
		}
		return nil
	})
	for _, k := range keys {
		if err == nil {
			err = tx.delete(bTokens, k)
		}
	}
	return err
}
