package admin

import (
	"context"
	"time"
)

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

// CertificateNames are the host names that the server needs certificates for, its own
// first. Names that do not exist yet are left out: an authority could not reach them, and
// after each failure it is asked less often.
func (o *Office) CertificateNames(ctx context.Context, exists func(ctx context.Context, name string) bool) ([]string, error) {
	s, err := o.Store.Settings()
	if err != nil || s.Hostname == "" {
		return nil, err
	}
	domains, err := o.Store.Domains()
	if err != nil {
		return nil, err
	}
	var names []string
	if exists(ctx, s.Hostname) {
		names = append(names, s.Hostname)
	}
	for _, d := range domains {
		for _, label := range []string{"mta-sts", "autoconfig", "autodiscover"} {
			if name := label + "." + d.Name; exists(ctx, name) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}
