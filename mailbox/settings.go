package mailbox

import (
	"cmp"
	"context"
	"slices"
)

// Settings are what the owner chose for the whole server. They are read at each
// use: a change holds for the next connection.
type Settings struct {
	Hostname string   `json:"hostname,omitempty"` // our name in SMTP and in the MX records
	IPv4     []string `json:"ipv4,omitempty"`     // our public addresses, where known
	IPv6     []string `json:"ipv6,omitempty"`

	// Relay is the smart host that mail to other domains goes through, as a URL that holds
	// the password if there is one; empty: each domain's own exchangers.
	Relay string `json:"relay,omitempty"`
	// SPFInclude is the domain whose SPF record lists the relay's machines, where it is known.
	SPFInclude string `json:"spf_include,omitempty"`

	// MaxMessage is the size of the largest message taken, in bytes, up to 1 GB;
	// 0 is 50 MB.
	MaxMessage int64 `json:"max_message,omitempty"`

	// Sending is how much each account may send.
	Sending SendLimits `json:"sending,omitzero"`

	// Reception is how much other servers may bring.
	Reception ReceptionLimits `json:"reception,omitzero"`

	// BlockLists are the zones of DNS block lists (RFC 5782) that are asked about who
	// brings mail which nothing else has decided, at most MaxBlockLists; none: no list
	// is asked. What they have goes into Junk, or is refused.
	BlockLists       []string `json:"block_lists,omitempty"`
	BlockListsRefuse bool     `json:"block_lists_refuse,omitempty"`

	// Days: 0 is the default, less than 0 is never.
	UndeleteDays int `json:"undelete_days,omitempty"` // that expunged messages are kept; 0 is 14
	JournalDays  int `json:"journal_days,omitempty"`  // that lines of the journal are kept; 0 is 180
	JunkDays     int `json:"junk_days,omitempty"`     // that messages stay in \Junk; 0 is 30
	TrashDays    int `json:"trash_days,omitempty"`    // in \Trash; 0 is 30
}

// ReceptionLimits are how much one client may bring within an hour. Of each: 0 is the
// default; less than 0 is no limit. A network has four times as much, and so has who
// lately brought mail of an author whom a recipient knows.
type ReceptionLimits struct {
	Messages   int `json:"messages,omitempty"`
	Recipients int `json:"recipients,omitempty"`
}

// The limits unless the settings say otherwise. They are far above what a server that
// writes to a few hundred people ever sends, and far below what fills a disk
// unnoticed.
const (
	HourlyMessages   = 600
	HourlyRecipients = 3000
)

// ReceptionLimits gives the limits that hold.
func (v *Settings) ReceptionLimits() ReceptionLimits {
	return ReceptionLimits{cmp.Or(v.Reception.Messages, HourlyMessages), cmp.Or(v.Reception.Recipients, HourlyRecipients)}
}

// MaxBlockLists bounds the block lists, all of which are asked about a message.
const MaxBlockLists = 8

func (v *Settings) maxMessage() int64 {
	if v.MaxMessage == 0 {
		return 50 << 20
	}
	return v.MaxMessage
}

var kServer = []byte("server")

// Settings reads the settings.
func (s *Store) Settings() (Settings, error) {
	var v Settings
	err := s.view(func(tx *tx) error { return tx.settings(&v) })
	return v, err
}

// ChangeSettings lets f change the settings in one commit. An error of f is
// returned, and nothing changes. f may run more than once. ErrInvalid for a
// MaxMessage of less than 64 KB or more than 1 GB, and for BlockLists that are too
// many or no names.
func (s *Store) ChangeSettings(ctx context.Context, f func(*Settings) error) error {
	var v Settings
	err := s.update(ctx, func(tx *tx) error {
		v = Settings{}
		if err := tx.settings(&v); err != nil {
			return err
		}
		if err := f(&v); err != nil {
			return err
		}
		if most := v.maxMessage(); most < 64<<10 || most > 1<<30 {
			return faultf(ErrInvalid, "the largest message has 64 KB to 1 GB")
		}
		if len(v.BlockLists) > MaxBlockLists {
			return faultf(ErrInvalid, "at most %d block lists can be asked", MaxBlockLists)
		}
		for i, list := range v.BlockLists {
			if zone, err := ParseDomain(list); err != nil || zone != list || slices.Contains(v.BlockLists[:i], list) {
				return faultf(ErrInvalid, "%q is no name of a block list, or there twice", list)
			}
		}
		return tx.putJSON(bSettings, kServer, &v)
	})
	if err == nil {
		s.maxMessage.Store(v.maxMessage())
	}
	return err
}

func (tx *tx) settings(v *Settings) error {
	b := tx.Bucket(bSettings).Get(kServer)
	if b == nil {
		return nil
	}
	read, err := tx.memos.settings.parse(b)
	read.IPv4, read.IPv6 = slices.Clone(read.IPv4), slices.Clone(read.IPv6)
	read.BlockLists = slices.Clone(read.BlockLists)
	*v = read
	return err
}
