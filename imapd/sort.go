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
	keys  *mailbox.SortKeys // nil where no texts are compared
}

// A sortKey compares two messages.
type sortKey struct {
	compare func(a, b *sortable) int
	text    bool // it needs their keys
}

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
	all, err := s.sortables(ctx, c, found, slices.ContainsFunc(by, func(k sortKey) bool { return k.text }))
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b *sortable) int {
		for _, key := range by {
			if n := key.compare(a, b); n != 0 {
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
		case key.compare == nil:
			s.dec.Failf("unknown sort key %.40q", word)
		case reverse:
			keys = append(keys, sortKey{func(a, b *sortable) int { return key.compare(b, a) }, key.text})
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
		return sortKey{func(a, b *sortable) int { return strings.Compare(of(a.keys), of(b.keys)) }, true}
	}
	switch name {
	case "ARRIVAL":
		return sortKey{compare: func(a, b *sortable) int { return cmp.Compare(a.come, b.come) }}
	case "DATE":
		return sortKey{compare: func(a, b *sortable) int { return cmp.Compare(a.sent, b.sent) }}
	case "SIZE":
		return sortKey{compare: func(a, b *sortable) int { return cmp.Compare(a.size, b.size) }}
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
	return sortKey{}
}

// sortables reads what messages are sorted and threaded by, in UID order; keys only
// if texts are compared.
func (s *session) sortables(ctx context.Context, c *call, found []mailbox.Entry, texts bool) ([]*sortable, error) {
	values := make([]sortable, 0, len(found))
	all := make([]*sortable, 0, len(found))
	add := func(m *mailbox.Facts, k *mailbox.SortKeys) error {
		for found[0].UID < m.UID {
			found = found[1:]
		}
		one := sortable{entry: found[0], come: m.Date.Unix(), size: m.Size, keys: k}
		if one.sent = one.come; !m.Sent.IsZero() {
			one.sent = m.Sent.Unix()
		}
		values = append(values, one)
		all = append(all, &values[len(values)-1])
		return ctx.Err()
	}
	err := s.patiently(ctx, c, func() error {
		store, id, folder, uids := s.srv.opts.Store, s.account.ID, s.view.folder, uidsOf(found)
		if !texts {
			return store.Rows(id, folder, uids, func(m *mailbox.Facts) error { return add(m, nil) })
		}
		keys := make([]mailbox.SortKeys, 0, len(uids))
		return store.SortKeys(id, folder, uids, func(m *mailbox.Facts, k *mailbox.SortKeys) error {
			keys = append(keys, *k)
			return add(m, &keys[len(keys)-1])
		})
	})
	return all, err
}
