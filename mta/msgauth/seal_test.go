package msgauth

import (
	"crypto/sha256"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRelaxedBody(t *testing.T) {
	for body, want := range map[string]string{
		" C \r\nD \t E\r\n\r\n\r\n": " C\r\nD E\r\n", // RFC 6376 section 3.4.5
		"":                          "",
		"\r\n\r\n":                  "",
		" \t\r\n \r\n":              "",
		"x":                         "x\r\n",
		"x \t":                      "x\r\n",
		"x\r\n \r\ny":               "x\r\n\r\ny\r\n",
		"a\rb\r\n":                  "a\rb\r\n",
		"a\r":                       "a\r\r\n",
		strings.Repeat("ab ", 3000): strings.Repeat("ab ", 2999) + "ab\r\n",
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(body), "by octets": iotest.OneByteReader(strings.NewReader(body))} {
			b := newRelaxedBody()
			if _, err := io.Copy(b, r); err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256([]byte(want)); string(b.sum()) != string(sum[:]) {
				t.Errorf("%.40q %s: not the hash of %.40q", body, name, want)
			}
		}
	}
}
