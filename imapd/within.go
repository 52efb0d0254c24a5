package imapd

import (
	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// within brings WITHIN (RFC 5032): search by the age of a message in seconds.
func within() extension {
	age := func(name string, test mailbox.Test) searchKey {
		return searchKey{name, func(p *searchParser) mailbox.Query {
			p.dec.SP()
			return mailbox.Query{Test: test, N: int64(p.dec.NonZero())}
		}}
	}
	return extension{
		name:   imap.CapWithin,
		search: []searchKey{age("OLDER", mailbox.TestOlder), age("YOUNGER", mailbox.TestYounger)},
	}
}
