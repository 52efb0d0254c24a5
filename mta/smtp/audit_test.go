package smtp_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// top is the top of the repository.
const top = "../.."

// TestEveryClauseIsShown: the dialogs and tests that testdata/README.md names are there.
func TestEveryClauseIsShown(t *testing.T) {
	table, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	item, rows, items := "", 0, []string{}
	for line := range strings.Lines(string(table)) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			item = heading
			items = append(items, heading[:1])
		}
		cells := strings.Split(line, "|")
		if len(cells) != 4 || item == "" || strings.Contains(line, "| --- |") || strings.Contains(line, "| Shown by |") {
			continue
		}
		rows++
		refs := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[2], -1)
		if len(refs) == 0 {
			t.Errorf("nothing shows %s", cells[1])
		}
		for _, ref := range refs {
			file, name, _ := strings.Cut(ref[1], "#")
			if err := shown(file, name); err != "" {
				t.Errorf("%s%s: %s", strings.TrimSpace(item), cells[1], err)
			}
		}
	}
	if rows < 60 || !slices.Equal(items[:8], []string{"1", "2", "3", "4", "5", "6", "7", "8"}) {
		t.Errorf("%d clauses of %v", rows, items)
	}
}

// shown says what is wrong with a reference; "" is nothing.
func shown(file, name string) string {
	path := filepath.Join(top, file)
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
		return err.Error()
	case name == "":
		return ""
	case strings.HasSuffix(file, ".go"):
		if !strings.Contains(string(text), "\nfunc "+name+"(") {
			return file + " has no " + name
		}
	case !slices.ContainsFunc(txtar.Parse(text).Files, func(f txtar.File) bool { return f.Name == name }):
		return file + " has no dialog " + name
	}
	return ""
}

// TestDialogsNameTheirRules: each dialog of reception and submission begins with the
// section of the RFC that it is about, and none stands twice in a file.
func TestDialogsNameTheirRules(t *testing.T) {
	rule := regexp.MustCompile(`^RFC \d{4} [0-9]+(\.[0-9]+)*(, [0-9]+(\.[0-9]+)*)*: \S`)
	n := 0
	for _, room := range []string{"smtp", "inbound", "submit"} {
		files, err := filepath.Glob(filepath.Join(top, "mta", room, "testdata", "*.txtar"))
		if err != nil || len(files) == 0 {
			t.Fatal("no dialogs of", room, err)
		}
		for _, file := range files {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, f := range a.Files {
				if f.Name == "zone" {
					continue
				}
				n++
				if !rule.MatchString(f.Name) || seen[f.Name] {
					t.Errorf("%s: %q names no rule, or stands there twice", file, f.Name)
				}
				seen[f.Name] = true
			}
		}
	}
	if n < 120 {
		t.Errorf("there are only %d dialogs", n)
	}
}
