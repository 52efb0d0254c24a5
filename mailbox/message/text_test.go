package message_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"roost/mailbox/message"
)

func textOf(t *testing.T, m string, limit int64) (string, error) {
	t.Helper()
	var b bytes.Buffer
	err := parse(t, m).WriteText(&b, strings.NewReader(m), limit)
	return b.String(), err
}

func TestWriteText(t *testing.T) {
	for _, c := range []struct{ head, body, want string }{
		{"Content-Type: text/plain; charset=windows-1251", "\xcf\xf0\xe8\xe2\xe5\xf2", "Привет\n"},
		{"Content-Type: text/plain; charset=koi8-r", "\xf0\xd2\xc9\xd7\xc5\xd4", "Привет\n"},
		{"Content-Type: text/plain; charset=gb2312", "\xc4\xe3\xba\xc3", "你好\n"},
		{"Content-Type: text/plain; charset=\"Shift_JIS\"", "\x93\xfa\x96{", "日本\n"},
		{"Content-Type: text/plain; charset=utf-16le", "h\x00i\x00", "hi\n"},
		{"Content-Type: text/plain; charset=cp850", "\x82", "é\n"},
		{"Content-Type: text/plain; charset=nonesuch", "caf\xe9 \xc3\xa9", "caf\uFFFD é\n"},
		{"Content-Type: text/plain", "caf\xe9 \xc3\xa9", "café é\n"},
		{"Content-Type: text/plain; charset=utf-8", "caf\xe9", "caf\uFFFD\n"},
		{"Content-Transfer-Encoding: base64", "aGVs bG8=\r\nISE=!", "hello!!\n"},
		{"Content-Transfer-Encoding: base64", "aGVsbG8", "hello\n"},
		{"Content-Transfer-Encoding: quoted-printable", "a=3Db=\r\nc=3d =\r\n d=  \r\ne=zz=4=\r\n", "a=bc=  de=zz=4\n"},
		{"Content-Transfer-Encoding: quoted-printable", "trail  \t \r\nend =", "trail\r\nend \n"},
		{"Content-Transfer-Encoding: nonesuch", "as it is", "as it is\n"},
		{"Content-Type: application/pdf", "not text", ""},
		{"Content-Type: text/html", "a<SCRIPT>x<b>y</SCRIPT>b<style>s</style>c<br>d<b>e</b>", "abc\nde\n"},
		{"Content-Type: text/html", "a <noscript>b</noscript> <!-- c --> &amp;&nosuch; < d", "a b  &&nosuch; < d\n"},
	} {
		m := c.head + "\r\n\r\n" + c.body
		if got, err := textOf(t, m, 1<<20); err != nil || got != c.want {
			t.Errorf("%q %q: %q, %v, want %q", c.head, c.body, got, err, c.want)
		}
	}
}

func TestTextLimit(t *testing.T) {
	m := "Content-Type: text/plain; charset=utf-8\r\n\r\n" + strings.Repeat("é", 5000)
	for limit := int64(0); limit < 10_010; limit += 501 {
		got, err := textOf(t, m, limit)
		if int64(len(got)) > limit || !utf8.ValidString(got) {
			t.Errorf("limit %d: %d bytes", limit, len(got))
		}
		if whole := limit > 10_000; whole != (err == nil) || !whole && !errors.Is(err, message.ErrTooLong) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	broken := errors.New("full")
	if err := parse(t, m).WriteText(failing{broken}, strings.NewReader(m), 10); !errors.Is(err, broken) {
		t.Errorf("writer's error: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestHugeTokens holds that HTML text longer than what is held in memory comes
// out whole, and that an endless script stays hidden.
func TestHugeTokens(t *testing.T) {
	long := strings.Repeat("0123456789", 100_000)
	got, err := textOf(t, "Content-Type: text/html\r\n\r\n<p>"+long+"</p><script>"+long+"</script>after", 4<<20)
	if want := "\n" + long + "\nafter\n"; err != nil || got != want {
		t.Errorf("%d bytes, want %d, %v", len(got), len(want), err)
	}
}

func TestDecode(t *testing.T) {
	content := make([]byte, 100_000)
	for i := range content {
		content[i] = byte(i * i >> 3)
	}
	var wrapped strings.Builder
	for s := base64.StdEncoding.EncodeToString(content); len(s) > 0; {
		n := min(76, len(s))
		wrapped.WriteString(s[:n] + "\r\n")
		s = s[n:]
	}
	var quoted strings.Builder
	q := quotedprintable.NewWriter(&quoted)
	q.Binary = true
	if _, err := q.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	for encoding, body := range map[string]string{"BASE64": wrapped.String(), "Quoted-Printable": quoted.String(), "binary": string(content)} {
		m := "Content-Transfer-Encoding: " + encoding + "\r\n\r\n" + body
		r, err := parse(t, m).Decode(strings.NewReader(m))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(iotest.HalfReader(r))
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", encoding, len(got), err)
		}
	}
	m := "Content-Transfer-Encoding: x-uuencode\r\n\r\nx"
	if _, err := parse(t, m).Decode(strings.NewReader(m)); !errors.Is(err, message.ErrUnknownEncoding) {
		t.Errorf("unknown encoding: %v", err)
	}
}

func TestDecodeWords(t *testing.T) {
	for in, want := range map[string]string{
		// RFC 2047 8
		"(=?ISO-8859-1?Q?a?= b)":                        "(a b)",
		"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)":       "(ab)",
		"(=?ISO-8859-1?Q?a?=  \t =?ISO-8859-1?Q?b?=)":   "(ab)",
		"(=?ISO-8859-1?Q?a_b?=)":                        "(a b)",
		"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)":      "(a b)",
		"=?US-ASCII*EN?Q?Keith_Moore?=":                 "Keith Moore",
		"=?utf-8?B?4oI=?= =?UTF-8?B?rA==?=":             "€",
		"=?utf-8?q?unencoded space?=":                   "unencoded space",
		"=?utf-8?q??=":                                  "",
		"=?utf-8?q?=41=4?=":                             "A=4",
		"=?utf-8?x?no?=":                                "=?utf-8?x?no?=",
		"=?utf-8?q?open":                                "=?utf-8?q?open",
		"=??q?a?=":                                      "=??q?a?=",
		"=?=?utf-8?q?a?=":                               "=?a",
		"x=?utf-8?q?a?=y":                               "xay",
		"=?nonesuch?q?=E9?=":                            "\uFFFD",
		"caf\xe9 =?utf-8?q?=C3=A9?=":                    "café é",
		"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=":            "日本",
		"=?gb2312?B?xOM=?= =?gb2312?B?usM=?= and =? ?=": "你好 and =? ?=",
	} {
		if got := message.DecodeWords(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestParams(t *testing.T) {
	for in, want := range map[string]string{
		`x/y; name=a.txt`:                                          "a.txt",
		`x/y; name="a\"b\\c"`:                                      `a"b\c`,
		`x/y; name="C:\dir\a.txt"; x=y`:                            `C:\dir\a.txt`,
		`x/y; name=two words.txt; x=y`:                             "two words.txt",
		`x/y; name=a.txt (comment)`:                                "a.txt",
		`x/y; name="open`:                                          "open",
		`x/y;;; NAME = "a"`:                                        "a",
		`x/y name=a`:                                               "a",
		`x/y; name*=utf-8'en'%e2%82%ac%20rates`:                    "€ rates",
		`x/y; name*=%41`:                                           "A",
		`x/y; name=fallback; name*=utf-8''real`:                    "real",
		`x/y; name*1="b"; name*0="a"; name*3=d`:                    "ab",
		`x/y; name*0*=iso-8859-1''%e9; name*1=" %41"; name*2*=%e8`: "é %41è",
		`x/y; name*0="a "; name*1*=%62`:                            "a b",
		`x/y; name="=?utf-8?q?=C3=A9?="`:                           "é",
		"x/y; name=\"caf\xe9\"":                                    "café",
		`x/y; name*99999999999999999999=a`:                         "",
		`application/x-stuff; title*0*=us-ascii'en'This%20is; name*0*=us-ascii''x; title*1=" it"`: "x",
	} {
		p := parse(t, "Content-Type: "+in+"\r\n\r\n")
		if got := p.Filename(); got != want {
			t.Errorf("%s: %q, want %q (%q)", in, got, want, p.Params)
		}
	}
}

func TestPreview(t *testing.T) {
	for body, want := range map[string]string{
		"> quoted\r\n\r\nAn answer,\r\n\tin two lines.\r\n-- \r\nsignature": "An answer, in two lines.",
		"> only\r\n> quoted":      "> only > quoted",
		"":                        "",
		" \r\n\u200b\u034f\r\n ":  "",
		strings.Repeat("é ", 300): strings.TrimSpace(strings.Repeat("é ", 100)),
		strings.Repeat("é", 300):  strings.Repeat("é", 200),
	} {
		m := "Content-Type: text/plain; charset=utf-8\r\n\r\n" + body
		if got, err := parse(t, m).Preview(strings.NewReader(m)); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", body, got, err, want)
		}
	}
}

func TestPreviewLooksOnlySoFar(t *testing.T) {
	m := "Content-Type: text/html\r\n\r\n" + strings.Repeat("<p>", 1<<18) + "late"
	if got, err := parse(t, m).Preview(strings.NewReader(m)); err != nil || got != "" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"HELLO":             "hello",
		"Straße ẞ":          "strasse ss",
		"Crème BRÛLÉE":      "creme brulee",
		"cre\u0300me":       "creme",
		"ΟΔΥΣΣΕΎΣ οδυσσεύς": "οδυσσευσ οδυσσευσ",
		"İstanbul ıſ":       "istanbul is",
		"ﬁne ① Ｆｕｌｌ":        "fine 1 full",
		"が":                 "か\u3099",
		"한":                 "\u1112\u1161\u11ab",
		"שָׁלוֹם":           "שלום",
		"a\xffb":            "a\uFFFDb",
		"Ĳ ǆ K":             "ij dz k",
	} {
		if got := message.Fold(in); got != want {
			t.Errorf("%q folds to %q, want %q", in, got, want)
		}
		if again := message.Fold(want); again != want {
			t.Errorf("%q folds again to %q", want, again)
		}
		var b bytes.Buffer
		w := message.FoldWriter{W: &b}
		if _, err := io.Copy(&w, iotest.OneByteReader(strings.NewReader(in))); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("%q folds byte by byte to %q, want %q", in, b.String(), want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("text/html; charset=utf-8", "quoted-printable", []byte("<p>a=\r\n=C3=A9 &amp;<script>x"))
	f.Add("text/plain; charset=iso-2022-jp", "base64", []byte("GyRCRnxLXBsoQg=="))
	f.Add("text/plain; charset=utf-16", "binary", []byte("\xff\xfeh\x00i\x00"))
	f.Add("text/plain; charset=gb18030", "7bit", []byte("\x81\x30\x81\x30"))
	f.Add("text/plain; name*0*=a'b'%41", "quoted-printable", []byte("= \r"))
	f.Fuzz(func(t *testing.T, contentType, encoding string, body []byte) {
		m := "Content-Type: " + contentType + "\r\nContent-Transfer-Encoding: " + encoding + "\r\n\r\n" + string(body)
		checkInvariants(t, []byte(m))
		var folded bytes.Buffer
		w := message.FoldWriter{W: &folded}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if folded.String() != message.Fold(string(body)) {
			t.Fatal("folding depends on how the text is cut")
		}
		if got := message.DecodeWords(string(body)); !utf8.ValidString(got) {
			t.Fatalf("words %q", got)
		}
	})
}
