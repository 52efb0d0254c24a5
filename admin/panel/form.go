package panel

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"roost/admin"
)

// Names of inputs that are no argument of an operation.
const (
	inputOp   = "_op"   // which operation the form is for
	inputSure = "_sure" // the question was answered
)

// form asks for the arguments of one operation.
type form struct {
	Op     string
	Button string
	Hidden []pair
	Fields []field
	Given  bool // it was sent, and refused
}

type pair struct{ Name, Value string }

// field is one argument.
type field struct {
	ID, Name, Label, Help string
	Kind                  string // "text", "password" or "checkbox"
	Autocomplete          string
	Required              bool
	Value                 string
	Checked               bool
}

// wording is how an argument is called on a page, where the command line's name or help
// would not make sense.
type wording struct{ label, help string }

func wordings() map[string]wording {
	return map[string]wording{
		"password":                 {"Password", "Leave it empty to have one made up, which is shown once."},
		"admin":                    {"Administrator", "May do everything, and gets mail to postmaster."},
		"device":                   {"Name of the device", "Such as “Anna's phone”."},
		"send_only":                {"Only sends", "In one name alone, and may not read: for a scanner or a disk."},
		"device add.from":          {"Name to send in", "For one that only sends; empty is this address."},
		"to":                       {"Goes to", "One or more addresses, here or elsewhere, with spaces between them."},
		"alias add.address":        {"Alias", ""},
		"alias set.address":        {"Alias", ""},
		"alias set.to":             {"Goes to", "Leave it empty to change only the last day."},
		"expires":                  {"Last day", "Such as 2027-12-31, in UTC; empty is without an end."},
		"alias set.expires":        {"Last day", "Such as 2027-12-31, in UTC, or never; empty leaves it as it is."},
		"catch_all":                {"Mail to nobody goes to", "An address, here or elsewhere, or none to refuse it; empty leaves it as it is."},
		"separators":               {"A subaddress begins with", "One or more characters, such as + and -, or none; empty leaves it as it is."},
		"lists":                    {"Block lists", "Such as zen.spamhaus.org, with spaces between them, or none; empty leaves them as they are."},
		"blocklist set.then":       {"What becomes of such mail", "junk puts it into Junk, refuse refuses it; empty leaves it as it is."},
		"retention set.undelete":   {"Days that expunged messages can be had back", "0 is not at all."},
		"retention set.junk":       {"Days in Junk", "0 is for ever."},
		"retention set.trash":      {"Days in Trash", "0 is for ever."},
		"messages":                 {"Messages in 24 hours", "A number, none for no limit, or default; empty leaves it as it is."},
		"new_recipients":           {"New recipients in 24 hours", "Addresses that were never written to, and never wrote; as above."},
		"undelete restore.since":   {"Expunged within", "Such as 2h; empty: whenever it was."},
		"undelete restore.uid":     {"UIDs", "As the list shows them, in one mailbox; empty: all."},
		"undelete restore.mailbox": {"Mailbox", "Empty: all mailboxes."},
		"host set.name":            {"Host name", ""},
		"addresses":                {"Public addresses", "IPv4 and IPv6, with spaces between them."},
		"url":                      {"Smart host", "smtps://USER@HOST (TLS, port 465), smtp+starttls://USER@HOST (port 587) or smtp://HOST (port 25), with :PORT where wanted."},
		"relay set.password":       {"Password of the user", ""},
		"spf_include":              {"SPF include", "What the provider wants in SPF records, such as spf.example.com; not needed for large providers."},
	}
}

// arguments yields the fields of an argument struct that the API knows, with their names.
func arguments(t reflect.Type, visit func(f reflect.StructField, name string)) {
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "" || name == "-" {
			continue
		}
		visit(f, name)
	}
}

// form makes the form of an operation. Preset are arguments that are known already, by
// name and value. What was given to the same operation and refused is filled in again.
func (v *visit) form(name, button string, preset ...string) (form, error) {
	op, err := admin.Find(name)
	if err != nil {
		return form{}, err
	}
	fm := form{Op: name, Button: button, Given: v.given.Get(inputOp) == name}
	for i := 0; i+1 < len(preset); i += 2 {
		fm.Hidden = append(fm.Hidden, pair{preset[i], preset[i+1]})
	}
	arguments(reflect.TypeOf(op.NewArgs()).Elem(), func(f reflect.StructField, arg string) {
		if slices.ContainsFunc(fm.Hidden, func(p pair) bool { return p.Name == arg }) {
			return
		}
		_, required := f.Tag.Lookup("arg")
		if _, may := f.Tag.Lookup("optional"); may {
			required = false
		}
		in := field{
			ID: strings.ReplaceAll(name, " ", "-") + "-" + arg, Name: arg, Required: required,
			Label: strings.ToUpper(arg[:1]) + arg[1:], Help: f.Tag.Get("help"), Kind: "text", Autocomplete: "off",
		}
		for _, key := range []string{arg, name + "." + arg} {
			if w, ok := wordings()[key]; ok {
				in.Label, in.Help = w.label, w.help
			}
		}
		switch {
		case f.Type == reflect.TypeFor[admin.Secret]():
			in.Kind, in.Autocomplete = "password", "new-password"
		case f.Type.Kind() == reflect.Bool:
			in.Kind = "checkbox"
		}
		if fm.Given && in.Kind != "password" {
			in.Value, in.Checked = v.given.Get(arg), v.given.Get(arg) != ""
		}
		fm.Fields = append(fm.Fields, in)
	})
	return fm, nil
}

// set fills a field in.
func (f *form) set(name string, values ...string) {
	for i := range f.Fields {
		if f.Fields[i].Name == name {
			f.Fields[i].Value = strings.Join(values, " ")
		}
	}
}

// fill puts what a form gave into an argument struct.
func fill(args any, given url.Values) (err error) {
	to := reflect.ValueOf(args).Elem()
	arguments(to.Type(), func(f reflect.StructField, name string) {
		text, there := given.Get(name), given.Has(name)
		if !there || err != nil {
			return
		}
		switch at := to.FieldByIndex(f.Index); at.Kind() {
		case reflect.String:
			if f.Type != reflect.TypeFor[admin.Secret]() {
				text = strings.TrimSpace(text)
			}
			at.SetString(text)
		case reflect.Bool:
			at.SetBool(text != "")
		case reflect.Slice:
			list := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == ';' || r == '\n' || r == '\r' || r == '\t' })
			at.Set(reflect.ValueOf(list))
		case reflect.Int, reflect.Int64:
			n, bad := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			if bad != nil {
				err = refusal(admin.Invalid, strconv.Quote(text)+" is not a number")
			}
			at.SetInt(n)
		}
	})
	return err
}

// acts are the operations that a page's forms may ask for, each with where to go when it
// is done; empty is the same page again.
type acts map[string]func(v *visit, given url.Values, result any) (next string)

// stay is for operations after which the same page is shown.
func stay(*visit, url.Values, any) string { return "" }

// act carries out what a form asks for. It is answered when act returns true; otherwise
// the page is to be shown, with the problem that there may be.
func (v *visit) act(may acts) (answered bool, err error) {
	if v.r.Method == http.MethodGet || v.r.Method == http.MethodHead {
		return false, nil
	}
	if v.r.Method != http.MethodPost {
		return false, refusal(admin.Invalid, "this page can be read and its forms be sent, nothing else")
	}
	if err := v.r.ParseForm(); err != nil {
		return false, refusal(admin.Invalid, "the form cannot be read")
	}
	given := v.r.PostForm
	name := given.Get(inputOp)
	next, ok := may[name]
	if !ok {
		return false, refusal(admin.Invalid, "this page has no form for "+strconv.Quote(name))
	}
	result, err := v.carryOut(name, given)
	if err != nil {
		v.problem, v.given = admin.Explain(err), given
		return false, nil
	}
	if result == nil { // it has to be asked first
		return true, nil
	}
	v.notices.leave(v.session, tell(result))
	to := next(v, given, result)
	if to == "" {
		to = v.r.URL.RequestURI()
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return true, nil
}

// carryOut does the operation, or asks the question that it begins with and returns nil.
func (v *visit) carryOut(name string, given url.Values) (any, error) {
	op, err := admin.Find(name)
	if err != nil {
		return nil, err
	}
	args := op.NewArgs()
	if err := fill(args, given); err != nil {
		return nil, err
	}
	if q := question(name, args, given); q != "" && given.Get(inputSure) == "" {
		var hidden []pair
		arguments(reflect.TypeOf(args).Elem(), func(_ reflect.StructField, arg string) {
			if given.Has(arg) {
				hidden = append(hidden, pair{arg, given.Get(arg)})
			}
		})
		return nil, v.show("sure", "", "Are you sure?", struct {
			Op, Question, Back string
			Hidden             []pair
		}{name, q, v.r.URL.RequestURI(), hidden})
	}
	return v.office.Do(v.r.Context(), v.caller, op, args)
}

// question is what must be answered before an operation: the one that a terminal asks
// too, or one for what is a word on a command line and only a click here.
func question(name string, args any, given url.Values) string {
	if q, ok := args.(interface{ Question() string }); ok {
		return q.Question()
	}
	switch name {
	case "domain remove":
		return "Receive no more mail for " + given.Get("domain") + "? Its DKIM keys are removed too."
	case "device remove":
		return "Take this device's app password away? It can read and send mail no more."
	case "account disable":
		return "Disable " + given.Get("address") + "? Nobody can log in to it, and its mail is put off."
	case "domain disable":
		return "Disable " + given.Get("domain") + "? Nobody in it can log in, and its mail is put off."
	case "alias remove":
		return "Remove the alias " + given.Get("address") + "?"
	}
	return ""
}
