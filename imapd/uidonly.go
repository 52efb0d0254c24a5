package imapd

import (
	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// uidOnly brings UIDONLY (RFC 9586): once it is enabled, sequence numbers are
// neither taken nor told. What has to know it asks has(imap.CapUIDOnly).
func uidOnly() extension {
	return extension{name: imap.CapUIDOnly, enable: true}
}

// uidRequired is the answer to a sequence number that UIDONLY forbids.
func uidRequired() error {
	return &response{"BAD", "UIDREQUIRED", "with UIDONLY messages are named by their UIDs"}
}

// beginFetch writes the beginning of the FETCH response about message n, with its
// UID if the client is to see that it has one; a UIDFETCH response begins with it.
func (s *session) beginFetch(n uint32, uid mailbox.UID, tellUID bool) {
	if s.has(imap.CapUIDOnly) {
		s.enc.Raw("* ").Number(uint64(uid)).Raw(" UIDFETCH (")
		return
	}
	s.enc.Raw("* ").Number(uint64(n)).Raw(" FETCH (")
	if tellUID {
		s.enc.Raw("UID ").Number(uint64(uid)).Raw(" ")
	}
}
