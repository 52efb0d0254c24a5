package admin

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Certificate is what the locksmith says of one certificate. A server whose certificates
// need no care (its own authority, self-signed) has none to tell of.
type Certificate struct {
	Names     []string  `json:"names" table:"NAMES"`
	Issuer    string    `json:"issuer" table:"ISSUER"`
	NotBefore time.Time `json:"not_before,omitzero"` // zero: there is none yet
	NotAfter  time.Time `json:"not_after,omitzero" table:"UNTIL"`

	Problem string    `json:"problem,omitempty" table:"PROBLEM"`  // why the last attempt at a newer one failed; empty: it did not
	Failed  time.Time `json:"failed,omitzero"`                    // when that was
	NextTry time.Time `json:"next_try,omitzero" table:"NEXT TRY"` // zero: not before something changes
}

func certificateList(_ context.Context, o *Office, _ *struct{}) ([]Certificate, error) {
	if !o.Running {
		return nil, errorf(NotFound, "no server runs on this data directory, and only a running one looks after certificates")
	}
	if o.Certificates == nil {
		return nil, nil
	}
	return o.Certificates(), nil
}

// Asked says that something was begun.
type Asked struct {
	Asked string `json:"asked"`
}

// Text is the sentence.
func (a Asked) Text(w io.Writer, _ any) error {
	_, err := fmt.Fprintln(w, a.Asked)
	return err
}

func certificateRetry(_ context.Context, o *Office, _ *struct{}) (Asked, error) {
	if o.RetryCertificates == nil {
		return Asked{}, errorf(NotFound, "no certificate here comes from an authority, so there is none to ask")
	}
	o.RetryCertificates()
	return Asked{"The authority is asked again now. What comes of it: roost certificate list"}, nil
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
