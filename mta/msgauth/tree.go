package msgauth

import (
	"context"
	"errors"
	"strings"

	"roost/mta/dns"

	"golang.org/x/net/publicsuffix"
)

// maxWalk is how many names one walk asks, whatever the length of the domain
// (RFC 9989 section 4.10).
const maxWalk = 8

// tree looks DMARC records up, each name once. It is not for concurrent use.
type tree struct {
	resolver *dns.Resolver
	known    map[string]*record // nil: there is none
}

// published is a record and the domain that it was found at.
type published struct {
	domain string
	*record
}

// record looks up the record of one domain; nil is that there is none, or more
// than one. An error is a temporary one.
func (t *tree) record(ctx context.Context, domain string) (*record, error) {
	if r, ok := t.known[domain]; ok {
		return r, nil
	}
	a, err := t.resolver.TXT(ctx, "_dmarc."+domain)
	if err != nil && !errors.Is(err, dns.ErrNotFound) {
		return nil, err
	}
	var found *record
	count := 0
	for _, text := range a.Records {
		if r, ok := parseRecord(text); ok {
			found = r
			count++
		}
	}
	if count != 1 {
		found = nil
	}
	if found != nil && found.psd == 'u' && isPublicSuffix(domain) {
		// Registries published records before there was psd=. Without this all
		// the domains below such a one would pass for each other.
		found.psd = 'y'
	}
	if t.known == nil {
		t.known = map[string]*record{}
	}
	t.known[domain] = found
	return found, nil
}

// walk goes from a domain to its top and returns the records on the way (RFC
// 9989 section 4.10).
func (t *tree) walk(ctx context.Context, domain string) ([]published, error) {
	var list []published
	for name := domain; name != ""; name = parent(domain, name) {
		r, err := t.record(ctx, name)
		if err != nil {
			return nil, err
		}
		if r != nil {
			list = append(list, published{name, r})
			if r.psd != 'u' {
				break
			}
		}
	}
	return list, nil
}

// parent is the name that a walk from domain asks after name; "" at its end.
func parent(domain, name string) string {
	if labels := strings.Count(name, ".") + 1; name == domain && labels >= maxWalk {
		for range labels - (maxWalk - 1) {
			_, name, _ = strings.Cut(name, ".")
		}
		return name
	}
	_, name, _ = strings.Cut(name, ".")
	return name
}

// organization picks the organizational domain from a walk (RFC 9989 section
// 4.10.2).
func organization(domain string, walk []published) string {
	for _, p := range walk {
		switch {
		case p.psd == 'n':
			return p.domain
		case p.psd == 'y' && p.domain != domain:
			return below(p.domain, domain)
		}
	}
	if len(walk) == 0 {
		return domain
	}
	return walk[len(walk)-1].domain
}

// below is the name one label below suffix on the way to domain.
func below(suffix, domain string) string {
	rest := strings.TrimSuffix(domain, "."+suffix)
	return rest[strings.LastIndexByte(rest, '.')+1:] + "." + suffix
}

// marked says whether a walk met a word on where organizations begin.
func marked(walk []published) bool {
	return len(walk) > 0 && walk[len(walk)-1].psd != 'u'
}

// exists says whether a domain is there at all (RFC 9989 section 3.2.13, RFC
// 8020). When that can't be told it is taken to be.
func (t *tree) exists(ctx context.Context, domain string) bool {
	_, err := t.resolver.A(ctx, domain)
	var e *dns.Error
	return !errors.As(err, &e) || e.Kind != dns.ErrNotFound || e.Reason != "no such name"
}

// within says whether a domain is org or below it.
func within(domain, org string) bool {
	return domain == org || strings.HasSuffix(domain, "."+org)
}

// isPublicSuffix says whether strangers register names right below a domain.
func isPublicSuffix(domain string) bool {
	suffix, _ := publicsuffix.PublicSuffix(domain)
	return suffix == domain
}

// registered is the part of a domain that somebody registered, going by the
// public suffix list as RFC 7489 section 3.2 does; "" where it is a suffix.
func registered(domain string) string {
	name, err := publicsuffix.EffectiveTLDPlusOne(domain)
	if err != nil {
		return ""
	}
	return name
}
