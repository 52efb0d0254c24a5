package acme

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

// round is what one Run holds: certmagic at work, and how to make it stop for a name.
type round struct {
	*Locksmith
	cache   *certmagic.Cache
	magic   *certmagic.Config
	stop    map[string]context.CancelFunc
	running sync.WaitGroup
}

func newRound(l *Locksmith) *round {
	r := &round{Locksmith: l, stop: make(map[string]context.CancelFunc)}
	logger := zapLogger(quiet{l.log.Handler()})
	r.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return r.magic, nil },
		Logger:           logger,
	})
	r.magic = certmagic.New(r.cache, certmagic.Config{
		Storage: l.storage,
		Issuers: []certmagic.Issuer{l.authority},
		OnEvent: r.event,
		Logger:  logger,
		// Mail clients do not ask for a stapled answer, and Let's Encrypt gives none.
		OCSP: certmagic.OCSPConfig{DisableStapling: true},
	})
	return r
}

// end leaves nothing behind that touches the network or the store.
func (r *round) end() {
	for _, stop := range r.stop {
		stop()
	}
	r.authority.gate.close()
	r.cache.Stop()
	r.running.Wait()
	r.storage.close()
}

func (r *round) look(ctx context.Context) {
	added, gone, err := r.Locksmith.look(ctx)
	if err != nil && ctx.Err() == nil {
		r.log.Error("looking after certificates", "err", err)
	}
	for _, name := range gone {
		r.halt(name)
		r.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: name}})
	}
	for _, name := range added {
		r.begin(ctx, name)
	}
	// Certmagic gives up on a first certificate after 30 days.
	for _, name := range r.ring.overdue(time.Hour) {
		if !r.managed(name) {
			r.halt(name)
			r.begin(ctx, name)
		}
	}
}

// managed tells whether certmagic has a certificate for name and renews it.
func (r *round) managed(name string) bool { return len(r.cache.AllMatchingCertificates(name)) > 0 }

// begin has certmagic get or renew the certificate for name, and try again when it
// fails.
func (r *round) begin(ctx context.Context, name string) {
	private := !certmagic.SubjectQualifiesForPublicCert(name) || !strings.Contains(name, ".")
	if certmagic.SubjectIsIP(name) || r.public && private {
		r.ring.change(name, func(k *key) {
			k.problem = name + " is not a name of the public DNS, and no public authority signs for it"
		})
		return
	}
	ctx, r.stop[name] = context.WithCancel(ctx)
	if err := r.magic.ManageAsync(ctx, []string{name}); err != nil {
		r.log.Error("looking after certificates", "name", name, "err", err)
	}
}

func (r *round) halt(name string) {
	if stop := r.stop[name]; stop != nil {
		stop()
		delete(r.stop, name)
	}
}

func (r *round) retry(ctx context.Context) {
	for _, name := range r.ring.failing() {
		r.halt(name)
		if !r.managed(name) {
			r.begin(ctx, name)
			continue
		}
		ctx, stop := context.WithCancel(ctx)
		r.stop[name] = stop
		// What it fails with is on the ring already.
		r.running.Go(func() { r.magic.RenewCertSync(ctx, name, false) })
	}
	r.running.Go(func() {
		if err := r.cache.RenewManagedCertificates(ctx); err != nil {
			r.log.Error("looking after certificates", "err", err)
		}
	})
}

// event is certmagic's word that something happened.
func (r *round) event(ctx context.Context, event string, data map[string]any) error {
	name, ok := data["identifier"].(string)
	if event != "cert_obtained" || !ok {
		return nil
	}
	if err := r.load(ctx, name); err != nil {
		r.log.Error("load the new certificate", "name", name, "err", err)
		return nil
	}
	if cert := r.ring.find(name); cert != nil {
		c := describe(cert.Leaf)
		r.log.Info("certificate obtained", "names", c.Names, "issuer", c.Issuer, "until", c.NotAfter)
	}
	return nil
}
