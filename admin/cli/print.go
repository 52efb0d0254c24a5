package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"
)

// Texter is a result that says itself how it reads. Args are those of the operation.
type Texter interface {
	Text(w io.Writer, args any) error
}

// Print writes a result: as JSON, as its own text, or as a table of its rows, one column for
// every field with a table tag, which names the column.
func Print(w io.Writer, result, args any, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(result)
	}
	if t, ok := result.(Texter); ok {
		return t.Text(w, args)
	}
	v := reflect.Indirect(reflect.ValueOf(result))
	if v.Kind() != reflect.Slice {
		return fmt.Errorf("nobody has said how %T is printed", result)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cell func(i int, heading string) string) {
		var cells []string
		for i := range v.Type().Elem().NumField() {
			if heading, ok := v.Type().Elem().Field(i).Tag.Lookup("table"); ok {
				cells = append(cells, cell(i, heading))
			}
		}
		fmt.Fprintln(tw, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	row(func(_ int, heading string) string { return heading })
	for i := range v.Len() {
		row(func(field int, _ string) string { return show(v.Index(i).Field(field).Interface()) })
	}
	return tw.Flush()
}

func show(v any) string {
	switch v := v.(type) {
	case time.Time:
		if v.IsZero() {
			return "never"
		}
		return v.Local().Format("2006-01-02 15:04")
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case []string:
		return strings.Join(v, ", ")
	}
	return fmt.Sprint(v)
}
