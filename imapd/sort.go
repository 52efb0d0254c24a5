package imapd

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// sorting brings SORT (RFC 5256), SORT=DISPLAY (RFC 5957) and ESORT (RFC 5267
// section 3). What is compared was worked out when a message came.
func sorting() extension {
	return extension{
		name: imap.CapSort,
		commands: []command{
			{name: "SORT", in: selected, numbered: true, counts: true, run: runSort},
			{name: "UID SORT", in: selected, run: runSort},
		},
	}
}

// sortable is a message with what it is sorted by.
type sortable struct {
	entry mailbox.Entry
	sent  int64 // unix seconds of the Date field, or else of INTERNALDATE
	come  int64 // INTERNALDATE
	size  int64
	keys  mailbox.SortKeys
}

// A sortKey compares two messages.
type sortKey func(a, b *sortable) int

func runSort(ctx context.Context, s *session, c *call) error {
	s.dec.SP()
	p := searchParser{session: s}
	ret := searchReturn{all: true}
	if !s.dec.Peek('(') {
		if ret = p.searchReturn(); !ret.extended {
			s.dec.Failf("expected RETURN or the sort keys")
		}
	}
	by := s.sortKeys()
	s.dec.SP()
	p.charsetName()
	s.dec.SP()
	q := p.keys()
	found, err := s.find(ctx, c, &p, ret, q, s.dec.EndLine())
	if err != nil {
		return err
	}
	all, err := s.sortables(ctx, c, found)
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b *sortable) int {
		for _, key := range by {
			if n := key(a, b); n != 0 {
				return n
			}
		}
		return cmp.Compare(a.entry.UID, b.entry.UID)
	})
	found = found[:0]
	for _, m := range all {
		found = append(found, m.entry)
	}
	s.writeSearch(c, "SORT", ret, &p, found, nil)
	return s.searched(c)
}

// sortKeys reads the list of keys.
func (s *session) sortKeys() []sortKey {
	var keys []sortKey
	s.dec.List(func() {
		word := s.dec.Keyword()
		reverse := word == "REVERSE"
		if reverse {
			s.dec.SP()
			word = s.dec.Keyword()
		}
		key := sortKeyNamed(word)
		switch {
		case s.dec.Err() != nil:
			return
		case key == nil:
			s.dec.Failf("unknown sort key %.40q", word)
		case reverse:
			keys = append(keys, func(a, b *sortable) int { return key(b, a) })
		default:
			keys = append(keys, key)
		}
	})
	if len(keys) == 0 || len(keys) > 32 {
		s.dec.Failf("expected 1 to 32 sort keys")
	}
	return keys
}

func sortKeyNamed(name string) sortKey {
	text := func(of func(k *mailbox.SortKeys) string) sortKey {
		return func(a, b *sortable) int { return strings.Compare(of(&a.keys), of(&b.keys)) }
	}
	switch name {
	case "ARRIVAL":
		return func(a, b *sortable) int { return cmp.Compare(a.come, b.come) }
	case "DATE":
		return func(a, b *sortable) int { return cmp.Compare(a.sent, b.sent) }
	case "SIZE":
		return func(a, b *sortable) int { return cmp.Compare(a.size, b.size) }
	case "SUBJECT":
		return text(func(k *mailbox.SortKeys) string { return k.Subject })
	case "FROM":
		return text(func(k *mailbox.SortKeys) string { return k.From })
	case "TO":
		return text(func(k *mailbox.SortKeys) string { return k.To })
	case "CC":
		return text(func(k *mailbox.SortKeys) string { return k.Cc })
	case "DISPLAYFROM":
		return text(func(k *mailbox.SortKeys) string { return k.DisplayFrom })
	case "DISPLAYTO":
		return text(func(k *mailbox.SortKeys) string { return k.DisplayTo })
	}
	return nil
}

// sortables reads what messages are sorted and threaded by, in UID order.
func (s *session) sortables(ctx context.Context, c *call, found []mailbox.Entry) ([]*sortable, error) {
	all := make([]*sortable, 0, len(found))
	err := s.patiently(ctx, c, func() error {
		left := found
		return s.srv.opts.Store.SortKeys(s.account.ID, s.view.folder, uidsOf(found), func(m *mailbox.Facts, k *mailbox.SortKeys) error {
			for left[0].UID < m.UID {
				left = left[1:]
			}
			one := &sortable{entry: left[0], come: m.Date.Unix(), size: m.Size, keys: *k}
			if one.sent = one.come; !m.Sent.IsZero() {
				one.sent = m.Sent.Unix()
			}
			all = append(all, one)
			return ctx.Err()
		})
	})
	return all, err
}
