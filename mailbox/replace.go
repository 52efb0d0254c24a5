package mailbox

import "slices"

// Replaced is the message whose place a Placement takes (REPLACE, RFC 8508): it
// is expunged in the same commit.
type Replaced struct {
	Folder FolderID
	UID    UID
}

// replaceable finds the message before the first put. ErrNotFound.
func (tx *tx) replaceable(id AccountID, r Replaced) (Folder, Entry, error) {
	f, err := tx.folder(id, r.Folder)
	if err != nil {
		return f, Entry{}, err
	}
	block, err := tx.block(id, r.Folder, r.UID)
	if err != nil {
		return f, Entry{}, err
	}
	i := slices.IndexFunc(block, func(e Entry) bool { return e.UID == r.UID })
	if i < 0 {
		return f, Entry{}, faultf(ErrNotFound, "the message was expunged")
	}
	return f, block[i], nil
}

func (tx *tx) replace(id AccountID, r Replaced) error {
	f, e, err := tx.replaceable(id, r)
	if err != nil {
		return err
	}
	_, err = tx.removeEntries(id, f, []Entry{e}, false) // a draft has many versions; none is worth keeping
	return err
}
