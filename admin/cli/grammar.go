// Package cli is the office's counter: the list of operations as commands of a terminal.
// The grammar is built from the list, so that an operation is written down once.
//
// A command goes to the server that runs on the data directory; where none runs, the
// store is opened and the same function called in this process, with the same answer and
// the same words when it fails. The package decides nothing about mail.
package cli

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"roost/admin"
)

// Grammar adds one command per operation to a kong parser: "domain add" becomes the
// command add below domain, with the fields of its argument struct as arguments and
// flags.
func Grammar() []kong.Option {
	options := []kong.Option{kong.TypeMapper(reflect.TypeFor[admin.Secret](), secretFlag{})}
	nouns := map[string][]admin.Op{}
	for _, op := range admin.Ops() {
		noun, _, _ := strings.Cut(op.Name, " ")
		nouns[noun] = append(nouns[noun], op)
	}
	for _, op := range admin.Ops() {
		noun, verb, _ := strings.Cut(op.Name, " ")
		ops := nouns[noun]
		switch {
		case verb == "":
			options = append(options, kong.DynamicCommand(noun, op.Help, "", op.NewArgs()))
		case ops[0].Name == op.Name:
			options = append(options, kong.DynamicCommand(noun, admin.About(noun), "", verbs(ops)))
		}
	}
	return options
}

// verbs makes a struct with one command per operation.
func verbs(ops []admin.Op) any {
	var fields []reflect.StructField
	for _, op := range ops {
		_, verb, _ := strings.Cut(op.Name, " ")
		fields = append(fields, reflect.StructField{
			Name: strings.ToUpper(verb[:1]) + verb[1:],
			Type: reflect.TypeOf(op.NewArgs()).Elem(),
			Tag:  reflect.StructTag(fmt.Sprintf("cmd:\"\" name:%q help:%q", verb, op.Help)),
		})
	}
	return reflect.New(reflect.StructOf(fields)).Interface()
}

// Selected returns the operation that a parsed command line asks for, and its arguments.
func Selected(c *kong.Context) (admin.Op, any, error) {
	node := c.Selected()
	var name []string
	for n := node; n != nil && n.Type == kong.CommandNode; n = n.Parent {
		name = append([]string{n.Name}, name...)
	}
	op, err := admin.Find(strings.Join(name, " "))
	if err != nil {
		return admin.Op{}, nil, err
	}
	return op, node.Target.Addr().Interface(), nil
}
