package admin

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"roost/admin/records"
	"roost/mailbox"
)

// BlockLists are the DNS block lists that are asked about who brings mail.
type BlockLists struct {
	Lists []string `json:"lists"` // zones; none: no list is asked
	Then  string   `json:"then"`  // what becomes of mail from an address that one has: "junk" or "refuse"
}

// Text is a line for each.
func (b BlockLists) Text(w io.Writer, _ any) error {
	var text strings.Builder
	if len(b.Lists) == 0 {
		text.WriteString("No block list is asked.\n")
	}
	for _, l := range b.Lists {
		fmt.Fprintf(&text, "%s\n", l)
	}
	if len(b.Lists) > 0 {
		what := "goes into Junk"
		if b.Then == thenRefuse {
			what = "is refused"
		}
		fmt.Fprintf(&text, "Mail from an address that a list has %s, unless something else speaks for it.\n", what)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

const (
	thenJunk   = "junk"
	thenRefuse = "refuse"
)

func blockListShow(_ context.Context, o *Office, _ *struct{}) (BlockLists, error) {
	v, err := o.Store.Settings()
	if err != nil {
		return BlockLists{}, err
	}
	b := BlockLists{append([]string{}, v.BlockLists...), thenJunk}
	if v.BlockListsRefuse {
		b.Then = thenRefuse
	}
	return b, nil
}

type blockListSetArgs struct {
	Lists    []string `json:"lists,omitempty" arg:"" optional:"" help:"The names of the lists, such as zen.spamhaus.org, in place of those before; none asks no list."`
	Then     string   `json:"then,omitempty" placeholder:"junk|refuse" help:"What becomes of mail from an address that a list has."`
	Resolver string   `json:"resolver,omitempty" placeholder:"IP:PORT" help:"The resolver to try the lists with, instead of the one of this machine."`
}

// Help is shown below the one line of the list.
func (blockListSetArgs) Help() string {
	return "The lists are asked last, within two seconds, and only about mail that neither a rule nor the sender's domain nor what readers did with the sender's mail has decided. " +
		"Each is tried first with the test entries that every list has; one that does not answer them is not taken. " +
		"Many lists do not answer a resolver that many share, as those of hosting providers: use one of your own. " +
		"Who runs a list learns which strangers' servers write to you."
}

func blockListSet(ctx context.Context, o *Office, a *blockListSetArgs) (BlockLists, error) {
	if len(a.Lists) == 0 && a.Then == "" {
		return BlockLists{}, errorf(Invalid, "say which lists, or what becomes of mail: --then")
	}
	var lists []string
	off := len(a.Lists) == 1 && strings.EqualFold(a.Lists[0], none)
	for _, text := range a.Lists {
		zone, err := mailbox.ParseDomain(strings.Trim(text, "."))
		switch {
		case off:
			continue
		case err != nil:
			return BlockLists{}, errorf(Invalid, "%q is no name of a block list", text)
		case slices.Contains(lists, zone):
			continue
		}
		lists = append(lists, zone)
	}
	if !slices.Contains([]string{"", thenJunk, thenRefuse}, a.Then) {
		return BlockLists{}, errorf(Invalid, "%q is neither junk nor refuse", a.Then)
	}
	if len(lists) > mailbox.MaxBlockLists {
		return BlockLists{}, errorf(Invalid, "at most %d block lists can be asked", mailbox.MaxBlockLists)
	}
	for _, tried := range tryLists(ctx, o, a.Resolver, lists) {
		if tried.Problem != "" {
			return BlockLists{}, errorf(Invalid, "%s is not taken: %s", tried.List, tried.Problem)
		}
	}
	err := o.Store.ChangeSettings(ctx, func(v *mailbox.Settings) error {
		if len(a.Lists) > 0 {
			v.BlockLists = lists
		}
		if a.Then != "" {
			v.BlockListsRefuse = a.Then == thenRefuse
		}
		return nil
	})
	if err != nil {
		return BlockLists{}, err
	}
	return blockListShow(ctx, o, nil)
}

// TriedLists are block lists whose test entries were looked for.
type TriedLists []TriedList

// TriedList is one of them.
type TriedList struct {
	List    string `json:"list"`
	Problem string `json:"problem,omitempty"` // empty: it works
}

// Text is a line for each.
func (all TriedLists) Text(w io.Writer, _ any) error {
	var text strings.Builder
	if len(all) == 0 {
		text.WriteString("No block list is asked.\n")
	}
	for _, l := range all {
		if l.Problem == "" {
			fmt.Fprintf(&text, "%s works\n", l.List)
		} else {
			fmt.Fprintf(&text, "%s: %s\n", l.List, l.Problem)
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// Failure makes a check fail that has found a list which does not work.
func (all TriedLists) Failure() error {
	for _, l := range all {
		if l.Problem != "" {
			return errorf(Invalid, "%s does not work: %s", l.List, l.Problem)
		}
	}
	return nil
}

type blockListCheckArgs struct {
	Resolver string `json:"resolver,omitempty" placeholder:"IP:PORT" help:"The resolver to ask, instead of the one of this machine."`
}

func blockListCheck(ctx context.Context, o *Office, a *blockListCheckArgs) (TriedLists, error) {
	v, err := o.Store.Settings()
	if err != nil {
		return nil, err
	}
	return tryLists(ctx, o, a.Resolver, v.BlockLists), nil
}

// tryLists looks for the test entries of lists.
func tryLists(ctx context.Context, o *Office, resolver string, lists []string) TriedLists {
	all := make(TriedLists, len(lists))
	var wait sync.WaitGroup
	for i, l := range lists {
		wait.Go(func() {
			all[i].List = l
			if err := records.TryList(ctx, o.checks(resolver), l); err != nil {
				all[i].Problem = err.Error()
			}
		})
	}
	wait.Wait()
	return all
}
