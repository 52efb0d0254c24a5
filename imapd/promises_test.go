package imapd_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"roost/imapd"
)

// TestPromises holds testdata/README.md against what there is: each dialog and test that
// it names exists, each dialog is named, and so is each capability that is advertised.
func TestPromises(t *testing.T) {
	readme, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]bool)
	for _, pattern := range []string{"*_test.go", "wire/*_test.go", "../mailbox/message/*_test.go", "../*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(text, -1) {
				tests[string(m[1])] = true
			}
		}
	}
	named := make(map[string]bool) // dialogs
	promised := ""
	for line := range strings.Lines(string(readme)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 4 || strings.HasPrefix(cells[1], "-") || strings.TrimSpace(cells[2]) == "shown by" {
			continue
		}
		promised += strings.ReplaceAll(cells[1], ",", " ") + " "
		shown := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[2], -1)
		if len(shown) == 0 {
			t.Errorf("nothing shows: %s", cells[1])
		}
		for _, m := range shown {
			name := m[1]
			if strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") {
				if !tests[name] {
					t.Errorf("%s: there is no %s", cells[1], name)
				}
				continue
			}
			files, err := filepath.Glob("testdata/dialogs/" + name + ".txt")
			if err != nil || len(files) == 0 {
				t.Errorf("%s: there is no dialog %s", cells[1], name)
			}
			for _, file := range files {
				named[file] = true
			}
		}
	}
	dialogs, err := filepath.Glob("testdata/dialogs/*.txt")
	if err != nil || len(dialogs) < 150 {
		t.Errorf("%d dialogs, %v", len(dialogs), err)
	}
	for _, file := range dialogs {
		if !named[file] {
			t.Errorf("testdata/README.md does not name %s", file)
		}
	}
	inBubble(t, imapd.Limits{}, func(b *bubble) {
		c := b.dial("192.0.2.1")
		greeting, err := c.r.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		c.send("a LOGIN %s \"%s\"", b.me.Address, password)
		welcome, err := c.r.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
		for _, said := range []string{greeting, welcome} {
			_, list, _ := strings.Cut(said, "[CAPABILITY ")
			list, _, _ = strings.Cut(list, "]")
			for name := range strings.FieldsSeq(list) {
				if strings.HasPrefix(name, "APPENDLIMIT=") {
					name = "APPENDLIMIT"
				}
				if !strings.Contains(" "+promised, " "+name+" ") {
					b.Errorf("testdata/README.md does not show %s", name)
				}
			}
		}
	})
}
