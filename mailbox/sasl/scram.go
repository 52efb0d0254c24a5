package sasl

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The mechanisms of RFC 5802 with SHA-256 (RFC 7677). PLUS ties the exchange to the
// TLS connection that it runs in.
const (
	scramSHA256     = "SCRAM-SHA-256"
	scramSHA256Plus = "SCRAM-SHA-256-PLUS"
)

// maxScram bounds a message of SCRAM, in octets, and maxNonce the client's nonce.
const (
	maxScram = 4096
	maxNonce = 512
)

// SCRAM is what a server lends an exchange of SCRAM.
type SCRAM struct {
	// Salt gives the salt of a name and the count of iterations, for a name that
	// means nobody too, and then the same ones each time.
	Salt func(ctx context.Context, name string) (salt []byte, iterations int, err error)

	// Prove looks for a secret of a name whose keys a proof fits, and gives that
	// secret's server key. Its error is what Exchange.Next gives.
	Prove func(ctx context.Context, name string, p Proof) (serverKey []byte, err error)

	// Binding is of the connection. Empty: SCRAM-SHA-256-PLUS is not offered.
	Binding Binding
}

// Keys derives what a server keeps of a secret (RFC 5802 3): with these it can check
// a proof, and prove itself, but not log in elsewhere.
func Keys(secret string, salt []byte, iterations int) (stored, server []byte, err error) {
	salted, err := pbkdf2.Key(sha256.New, secret, salt, iterations, sha256.Size)
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(mac(salted, "Client Key"))
	return sum[:], mac(salted, "Server Key"), nil
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// Proof is a client's claim to know a secret, good for one exchange.
type Proof struct {
	message string // AuthMessage
	proof   [sha256.Size]byte
}

// Fits tells whether the proof was made with the secret of a stored key.
func (p Proof) Fits(stored []byte) bool {
	var key [sha256.Size]byte
	subtle.XORBytes(key[:], p.proof[:], mac(stored, p.message))
	sum := sha256.Sum256(key[:])
	return subtle.ConstantTimeCompare(sum[:], stored) == 1
}

// scram is the server's side of RFC 5802. It does not send server-error-value: SMTP
// and IMAP tell failures in their own words.
type scram struct {
	*SCRAM
	plus  bool
	nonce string // the server's part

	step   int
	header string // gs2-header
	bound  string // the type of the channel binding; empty without
	name   string
	first  string // client-first-message-bare "," server-first-message
	whole  string // both parts of the nonce
}

func newScram(s *SCRAM, plus bool) *scram {
	return &scram{SCRAM: s, plus: plus, nonce: rand.Text()}
}

// Next takes client-first, client-final, and the empty response with which the
// client says that the server's proof is right too.
func (s *scram) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	if response == nil && s.step == 0 {
		return []byte{}, false, nil
	}
	if len(response) > maxScram || !utf8.Valid(response) {
		return nil, false, fmt.Errorf("SCRAM: %w", ErrMalformed)
	}
	s.step++
	switch s.step {
	case 1:
		challenge, err := s.clientFirst(ctx, string(response))
		return challenge, false, err
	case 2:
		challenge, err := s.clientFinal(ctx, string(response))
		return challenge, false, err
	}
	if len(response) != 0 {
		return nil, false, fmt.Errorf("SCRAM: %w", ErrMalformed)
	}
	return nil, true, nil
}

func (s *scram) clientFirst(ctx context.Context, message string) ([]byte, error) {
	flag, rest, ok1 := strings.Cut(message, ",")
	identity, bare, ok2 := strings.Cut(rest, ",")
	fields := strings.Split(bare, ",")
	// A field before the name is an extension that the client demands (RFC 5802 5.1).
	if !ok1 || !ok2 || len(fields) < 2 {
		return nil, fmt.Errorf("SCRAM: %w", ErrMalformed)
	}
	s.header = flag + "," + identity + ","
	if err := s.bind(flag); err != nil {
		return nil, err
	}
	name, ok := strings.CutPrefix(fields[0], "n=")
	nonce, ok3 := strings.CutPrefix(fields[1], "r=")
	if name, ok = saslName(name, ok); !ok || !ok3 || !isNonce(nonce) {
		return nil, fmt.Errorf("SCRAM: %w", ErrMalformed)
	}
	if identity != "" {
		as, ok := strings.CutPrefix(identity, "a=")
		if as, ok = saslName(as, ok); !ok {
			return nil, fmt.Errorf("SCRAM: %w", ErrMalformed)
		}
		if !strings.EqualFold(as, name) {
			return nil, fmt.Errorf("SCRAM: %w", ErrOtherIdentity)
		}
	}
	salt, iterations, err := s.Salt(ctx, name)
	if err != nil {
		return nil, err
	}
	s.name, s.whole = name, nonce+s.nonce
	challenge := "r=" + s.whole + ",s=" + base64.StdEncoding.EncodeToString(salt) + ",i=" + strconv.Itoa(iterations)
	s.first = bare + "," + challenge
	return []byte(challenge), nil
}

// bind judges gs2-cbind-flag. "y" is a client that could bind and was offered no
// mechanism that does: if it was, somebody in between has taken it away.
func (s *scram) bind(flag string) error {
	kind, wants := strings.CutPrefix(flag, "p=")
	switch {
	case wants != s.plus || !wants && flag != "n" && flag != "y":
		return fmt.Errorf("SCRAM: %w", ErrMalformed)
	case flag == "y" && len(s.Binding) > 0:
		return fmt.Errorf("the client was not told of %s: %w", scramSHA256Plus, ErrBinding)
	case wants && s.Binding[kind] == nil:
		return fmt.Errorf("the type %.40q is not known for this connection: %w", kind, ErrBinding)
	}
	s.bound = kind
	if !wants {
		s.bound = ""
	}
	return nil
}

func (s *scram) clientFinal(ctx context.Context, message string) ([]byte, error) {
	at := strings.LastIndex(message, ",p=")
	if at < 0 {
		return nil, fmt.Errorf("SCRAM: %w", ErrMalformed)
	}
	without, proof := message[:at], message[at+len(",p="):]
	fields := strings.Split(without, ",")
	channel, ok := strings.CutPrefix(fields[0], "c=")
	sent, err := base64.StdEncoding.Strict().DecodeString(channel)
	if !ok || err != nil || len(fields) < 2 || fields[1] != "r="+s.whole {
		return nil, fmt.Errorf("SCRAM: %w", ErrMalformed)
	}
	if !bytes.Equal(sent, append([]byte(s.header), s.Binding[s.bound]...)) {
		return nil, ErrBinding
	}
	p := Proof{message: s.first + "," + without}
	given, err := base64.StdEncoding.Strict().DecodeString(proof)
	if err != nil || len(given) != len(p.proof) {
		return nil, fmt.Errorf("SCRAM: %w", ErrMalformed)
	}
	copy(p.proof[:], given)
	key, err := s.Prove(ctx, s.name, p)
	if err != nil {
		return nil, err
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(mac(key, p.message))), nil
}

// saslName undoes the escapes of a name (RFC 5802 5.1: "=2C" and "=3D" are the only
// ones). The client has brought it into its form by SASLprep; what it means is for
// whoever looks it up.
func saslName(s string, ok bool) (string, bool) {
	name := strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s)
	if strings.Count(s, "=") != strings.Count(s, "=2C")+strings.Count(s, "=3D") {
		return "", false
	}
	return name, ok && valid([]byte(name))
}

// isNonce tells printable ASCII without a comma.
func isNonce(s string) bool {
	return s != "" && len(s) <= maxNonce && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' })
}
