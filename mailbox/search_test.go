package mailbox

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestSearch(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	date := func(d int) time.Time { return time.Date(2026, 5, d, 23, 30, 0, 0, time.FixedZone("", -5*3600)) }
	messages := []struct {
		text  string
		place Placement
	}{
		{"From: Zoë <zoe@example.com>\r\nSubject: =?utf-8?q?Caf=C3=A9_tonight?=\r\nDate: Fri, 1 May 2026 10:00:00 +0000\r\n\r\nSee you there.\r\n", Placement{Date: date(1), Flags: Seen}},
		{"From: bob@example.com\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+R3L832U8L2I+IGF1cyBS+GRieQ==\r\n", Placement{Date: date(2), Keywords: []string{"$Work"}}},
		{"Subject: plain\r\nX-Empty:\r\n\r\n" + fmt.Sprintf("%05000d\r\n", 7), Placement{Date: date(3), Flags: Flagged | Deleted}},
	}
	for _, m := range messages {
		m.place.Account = ann.ID
		accept(t, s, m.text, m.place)
	}
	text := func(k Test, s string) Query { return Query{Test: k, Text: s} }
	for _, c := range []struct {
		q    Query
		want []UID
	}{
		{Query{}, []UID{1, 2, 3}},
		{Query{Test: TestFlag, Flag: Seen}, []UID{1}},
		{Query{Test: TestNot, Args: []Query{{Test: TestFlag, Flag: Seen}}}, []UID{2, 3}},
		{text(TestKeyword, "$WORK"), []UID{2}},
		{Query{Test: TestUID, UIDs: []UIDRange{{2, 9}}}, []UID{2, 3}},
		{Query{Test: TestBefore, Time: date(2)}, []UID{1}},
		{Query{Test: TestOn, Time: time.Date(2026, 5, 2, 0, 0, 0, 0, time.UTC)}, []UID{2}},
		{Query{Test: TestSince, Time: date(2)}, []UID{2, 3}},
		{Query{Test: TestSentOn, Time: date(1)}, []UID{1}},
		{Query{Test: TestLarger, N: 4000}, []UID{3}},
		{Query{Test: TestSmaller, N: 4000}, []UID{1, 2}},
		{Query{Test: TestOlder, N: int64(time.Since(date(2)).Seconds())}, []UID{1, 2}},
		{Query{Test: TestYounger, N: int64(time.Since(date(2)).Seconds()) - 5}, []UID{3}},
		{Query{Test: TestHeader, Name: "subject", Text: "CAFE"}, []UID{1}},
		{Query{Test: TestHeader, Name: "X-Empty"}, []UID{3}},
		{Query{Test: TestHeader, Name: "From", Text: "zoe"}, []UID{1}},
		{text(TestBody, "grusse aus rodby"), nil},
		{text(TestBody, "GRÜßE"), []UID{2}},
		{text(TestBody, "there"), []UID{1}},
		{text(TestBody, "tonight"), nil},
		{text(TestText, "tonight"), []UID{1}},
		{text(TestText, "plain"), []UID{3}},
		{Query{Test: TestAnd, Args: []Query{text(TestText, "o"), {Test: TestNot, Args: []Query{text(TestText, "zoe")}}}}, []UID{2}},
		{Query{Test: TestOr, Args: []Query{text(TestBody, "there"), {Test: TestFlag, Flag: Flagged}}}, []UID{1, 3}},
	} {
		got, err := s.Search(context.Background(), ann.ID, InboxID, c.q)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("search %+v: %v, %v, want %v", c.q, got, err, c.want)
		}
	}
}
