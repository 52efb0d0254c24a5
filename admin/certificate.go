package admin

import "time"

// Certificate is what the locksmith says of one certificate. A server whose certificates
// need no care (its own authority, self-signed) has none to tell of.
type Certificate struct {
	Names     []string
	Issuer    string
	NotBefore time.Time // zero: there is none yet
	NotAfter  time.Time

	Problem string    // why the last attempt at a newer one failed; empty: it did not
	Failed  time.Time // when that was
	NextTry time.Time // zero: not before something changes
}
