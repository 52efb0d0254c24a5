package smtp

import (
	"net/netip"
	"time"
)

// Trace is what a Received field tells (RFC 5321 4.4).
type Trace struct {
	Hello string     // what the client called itself
	Peer  netip.Addr // its address; the zero value hides Hello and address
	By    string     // our name
	With  string     // SMTP, ESMTPS, UTF8SMTPSA, ... (RFC 3848)
	TLS   string     // cipher suite, or "" (RFC 8314 4.3)
	ID    string     // ours for the message, or ""
	For   string     // the recipient; only where there is one, as others must not be shown
	At    time.Time
}

// DateFormat is how RFC 5322 3.3 writes a date, for time.Time.Format.
const DateFormat = "Mon, 2 Jan 2006 15:04:05 -0700"

// AppendReceived appends the field, folded, with its CRLF.
func (t Trace) AppendReceived(b []byte) []byte {
	b = append(b, "Received: "...)
	if t.Peer.IsValid() {
		hello := t.Hello
		if !ValidDomain(hello) && !validLiteral(hello) || !isASCII(hello) {
			hello = "unknown"
		}
		b = append(b, "from "+hello+" ("+AddressLiteral(t.Peer)+")\r\n\t"...)
	}
	b = append(b, "by "+t.By+" with "+t.With...)
	if t.ID != "" {
		b = append(b, "\r\n\tid "+t.ID...)
	}
	if t.For != "" {
		b = append(b, "\r\n\tfor <"+t.For+">"...)
	}
	if t.TLS != "" {
		b = append(b, "\r\n\ttls "+t.TLS...)
	}
	b = append(b, ";\r\n\t"...)
	b = t.At.AppendFormat(b, DateFormat)
	return append(b, '\r', '\n')
}

// AddressLiteral gives an address as RFC 5321 4.1.3 writes it, in brackets.
func AddressLiteral(a netip.Addr) string {
	if a.Is4() {
		return "[" + a.String() + "]"
	}
	return "[IPv6:" + a.WithZone("").String() + "]"
}
