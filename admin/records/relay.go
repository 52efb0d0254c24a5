package records

import (
	"net/netip"
	"strings"
)

// relayed reports whether mail goes out through a smart host that others see: one on this
// machine is a mail catcher or sends from the same address.
func (s Setup) relayed() bool {
	if s.Relay == "" || s.Relay == "localhost" {
		return false
	}
	ip, err := netip.ParseAddr(s.Relay)
	return err != nil || !ip.Unmap().IsLoopback()
}

// include is the domain that an SPF record includes to allow the relay; empty when nobody
// has said.
func (s Setup) include() string {
	if s.SPFInclude != "" {
		return strings.ToLower(strings.TrimSuffix(s.SPFInclude, "."))
	}
	if s.relayed() {
		return IncludeFor(s.Relay)
	}
	return ""
}

// IncludeFor is what an SPF record includes for a relay of a known provider; empty when it is
// not known.
func IncludeFor(host string) string {
	host = strings.ToLower(host)
	if strings.HasPrefix(host, "email-smtp.") && within(host, "amazonaws.com") {
		return "amazonses.com"
	}
	for _, p := range []struct{ relay, include string }{
		{"smtp-relay.gmail.com", "_spf.google.com"},
		{"smtp.gmail.com", "_spf.google.com"},
		{"sendgrid.net", "sendgrid.net"},
		{"mailgun.org", "mailgun.org"},
		{"smtp.postmarkapp.com", "spf.mtasv.net"},
		{"mailjet.com", "spf.mailjet.com"},
		{"smtp2go.com", "spf.smtp2go.com"},
		{"brevo.com", "spf.brevo.com"},
		{"smtp.fastmail.com", "spf.messagingengine.com"},
		{"outlook.com", "spf.protection.outlook.com"},
		{"office365.com", "spf.protection.outlook.com"},
	} {
		if within(host, p.relay) {
			return p.include
		}
	}
	return ""
}
