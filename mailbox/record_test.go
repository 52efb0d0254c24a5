package mailbox

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// A record that format 1 wrote: two placements, of which one is by name.
const record1 = "524f4f3100000037000000000000005abda7e29fba146256015a80c49fd50c78000201084c697374732f676f05115265747572" +
	"6e2d506174683a203c3e0d0a0205494e424f580000015a00e5338dcd46726f6d3a203c61406578616d706c652e636f6d3e0d0a5375626a6563" +
	"743a2068656c6c6f20310d0a4d6573736167652d49443a203c31406578616d706c652e636f6d3e0d0a0d0a48656c6c6f2c206e756d62657220312e0d0a"

func TestRecordsOfFormat1AreRead(t *testing.T) {
	b, err := hex.DecodeString(record1)
	if err != nil {
		t.Fatal(err)
	}
	h, err := parseHead(b)
	if err != nil {
		t.Fatal(err)
	}
	date := time.Unix(1700000000, 0)
	if h.id != 1 || h.raw != int64(len(hello(1))) || !h.stored.Equal(date) || len(h.places) != 2 {
		t.Fatalf("head is %+v", h)
	}
	first := recordPlace{account: 1, name: "Lists/go", flags: Flagged | Seen, date: h.stored, prefix: []byte("Return-Path: <>\r\n")}
	if !reflect.DeepEqual(h.places[0], first) || h.places[1].account != 2 || h.places[1].name != Inbox {
		t.Errorf("places are %+v", h.places)
	}

	// In a store, it is served.
	s, ann, _ := newStore(t, Options{})
	accept(t, s, hello(1), Placement{Account: ann.ID}, Placement{Account: ann.ID})
	path := filepath.Join(s.Dir(), "packs", packName(2))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := s.OpenMessage(ann.ID, InboxID, 1)
	if err != nil {
		t.Fatal(err)
	}
	s.packs.files[2], err = os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	m.row.pack, m.row.head, m.row.stored = 2, preambleLength+0x37, 0x5a
	got := make([]byte, m.Size)
	if _, err := m.ReadAt(got, 0); err != nil || string(got) != hello(1) {
		t.Errorf("the old record gives %q, %v", got, err)
	}
}

func TestRecordHeadTellsOfTheDelivery(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	date := time.Unix(1700000000, 0).In(time.FixedZone("", 3600))
	spool := s.NewSpool(0)
	defer spool.Close()
	spool.Write([]byte(hello(1)))
	in := Intake{
		Body: spool, From: "a@example.com",
		Place: []Placement{
			{Account: ann.ID, Name: "Lists/go", Flags: Flagged, Keywords: []string{"$Work"}, Date: date, Prefix: []byte("X: y\r\n")},
			{Account: bob.ID, Use: UseJunk, Date: date},
			{Account: bob.ID, Date: date},
		},
		Queue: []Outgoing{{Account: ann.ID, From: "a@example.com", Domain: "example.net", UTF8: true, Recipients: []Recipient{{Address: "c@example.net"}}}},
	}
	st, err := s.stage(&in)
	if err != nil {
		t.Fatal(err)
	}
	defer s.unstage(st)
	b := make([]byte, st.row.head)
	if err := s.packs.readAt(st.row.pack, b, st.row.offset); err != nil {
		t.Fatal(err)
	}
	h, err := parseHead(b)
	if err != nil {
		t.Fatal(err)
	}
	junk, err := s.FolderNamed(bob.ID, "Junk")
	if err != nil {
		t.Fatal(err)
	}
	for i := range h.places {
		if !h.places[i].date.Equal(date) {
			t.Errorf("place %d has the date %v", i, h.places[i].date)
		}
		h.places[i].date = time.Time{}
	}
	want := []recordPlace{
		{account: ann.ID, address: "ann@example.org", name: "Lists/go", flags: Flagged, keywords: []string{"$Work"}, prefix: []byte("X: y\r\n")},
		{account: bob.ID, address: "bob@example.org", folder: junk.ID, name: "Junk", prefix: []byte{}},
		{account: bob.ID, address: "bob@example.org", folder: InboxID, name: Inbox, prefix: []byte{}},
	}
	if !reflect.DeepEqual(h.places, want) {
		t.Errorf("places are %+v", h.places)
	}
	routes := []recordRoute{{account: ann.ID, domain: "example.net", utf8: true, recipients: []string{"c@example.net"}}}
	if !reflect.DeepEqual(h.routes, routes) {
		t.Errorf("routes are %+v", h.routes)
	}
	if h.from != "a@example.com" || h.id != st.id || h.raw != int64(len(hello(1))) {
		t.Errorf("head is %+v", h)
	}
}

// What a damaged disk gives is told, and never taken for a record.
func FuzzRecordHead(f *testing.F) {
	old, _ := hex.DecodeString(record1)
	f.Add(old)
	h := recordHead{
		id: 7, raw: 3, stored: time.Unix(1, 0), from: "a@example.com",
		places: []recordPlace{{account: 1, address: "a@b", folder: 2, name: "x", keywords: []string{"k"}, prefix: []byte("p")}},
		routes: []recordRoute{{account: 1, domain: "d", eightBit: true, recipients: []string{"r"}}},
		chunks: []chunk{{stored: 3}},
	}
	f.Add(h.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHead(b)
		if err != nil || string(b[:4]) == recordMagic1 {
			return
		}
		again, err := parseHead(h.encode())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.encode(), h.encode()) {
			t.Errorf("%+v, and again %+v", h, again)
		}
	})
}
