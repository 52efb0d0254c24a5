package admin

import (
	"context"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"roost/admin/machine"
	"roost/admin/records"
	"roost/mailbox"
)

// Office is where operations are carried out.
type Office struct {
	Store *mailbox.Store // nil only for operations that need none
	Log   *slog.Logger   // nil discards

	// Checks say whom the checks of records and of the host ask; the zero value asks the world.
	Checks records.Options

	// Proxies are the web servers in front, besides those on loopback addresses, that are
	// believed what they say of the browser behind them.
	Proxies []netip.Prefix

	// What only a running server knows.
	Running   bool
	Started   time.Time
	Listeners []Listener
	Taken     []machine.Taken // doors that could not be opened
	// Certificates tells how the server's certificates are; nil where none needs care.
	Certificates func() []Certificate
	// RetryCertificates asks for what is missing, without waiting; nil as above.
	RetryCertificates func()
}

// Listener is a door that the server keeps open.
type Listener struct {
	Name    string `json:"name"` // "smtp", "imaps" …
	Address string `json:"address"`
}

// Caller is who asks for an operation.
type Caller struct {
	// Owner: the caller can read the data directory, and so is kept from nothing.
	Owner bool
	// Account and Admin are those of a person who has logged in.
	Account mailbox.Address
	Admin   bool
}

// Who says who may ask for an operation.
type Who int

const (
	Administrator Who = iota // an administrator, or the owner of the data directory
	Self                     // also a person, about the own account
	Anyone
)

// subject is implemented by the arguments of operations for Self.
type subject interface{ subject() string }

func (c Caller) may(op Op, args any) bool {
	if c.Owner || c.Admin || op.May == Anyone {
		return true
	}
	s, ok := args.(subject)
	if op.May != Self || !ok || c.Account == "" {
		return false
	}
	addr, err := mailbox.ParseAddress(s.subject())
	return err == nil && addr == c.Account
}

// Op is one operation. Its name is one word or two ("dns", "domain add").
type Op struct {
	Name    string
	Help    string // one line: what it does
	May     Who
	NoStore bool // needs no data directory
	Founds  bool // makes the data directory where there is none

	args, result reflect.Type
	run          func(ctx context.Context, o *Office, args any) (any, error)
}

// NewArgs returns a pointer to a new argument struct. Its fields have json tags for the
// API and kong tags for the command line, where every field is documented.
func (op Op) NewArgs() any { return reflect.New(op.args).Interface() }

// NewResult returns a pointer to a new result, to decode JSON into.
func (op Op) NewResult() any { return reflect.New(op.result).Interface() }

// op ties a function to its entry in the list.
func op[A, R any](name, help string, may Who, run func(context.Context, *Office, *A) (R, error)) Op {
	return Op{
		Name: name, Help: help, May: may,
		args: reflect.TypeFor[A](), result: reflect.TypeFor[R](),
		run: func(ctx context.Context, o *Office, args any) (any, error) {
			result, err := run(ctx, o, args.(*A))
			// An empty list is [] in JSON, whoever made it.
			if v := reflect.ValueOf(&result).Elem(); v.Kind() == reflect.Slice && v.IsNil() {
				v.Set(reflect.MakeSlice(v.Type(), 0, 0))
			}
			return result, err
		},
	}
}

func (op Op) founds() Op { op.Founds = true; return op }

func (op Op) storeless() Op { op.NoStore = true; return op }

// Find returns the operation of that name.
func Find(name string) (Op, error) {
	for _, op := range Ops() {
		if op.Name == name {
			return op, nil
		}
	}
	return Op{}, errorf(NotFound, "there is no operation %q", name)
}

// Do carries out op for caller. Args is what op.NewArgs returned, filled in; the result is
// of the type that op.NewResult points to. An error is always an *Error.
func (o *Office) Do(ctx context.Context, caller Caller, op Op, args any) (any, error) {
	if !caller.may(op, args) {
		return nil, errorf(Forbidden, "you may not do that: %s", op.Name)
	}
	result, err := op.run(ctx, o, args)
	log := o.Log
	if log == nil || !op.Changes() {
		log = slog.New(slog.DiscardHandler)
	}
	if err != nil {
		log.Info("operation failed", "name", op.Name, "by", caller.String(), "err", err)
		return nil, Explain(err)
	}
	log.Info("operation", "name", op.Name, "by", caller.String())
	return result, nil
}

// Changes tells whether the operation changes the store.
func (op Op) Changes() bool {
	_, verb, _ := strings.Cut(op.Name, " ")
	return op.Founds || verb != "" && verb != "list" && verb != "show"
}

func (c Caller) String() string {
	if c.Owner {
		return "owner"
	}
	return string(c.Account)
}

// Secret is an argument that is never given on a command line, where other users of the
// machine could read it: the command line reads it from standard input or asks.
type Secret string
