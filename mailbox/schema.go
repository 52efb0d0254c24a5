package mailbox

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"
)

// The buckets. doc.go has the table of what is in them.
var (
	bMeta           = []byte("meta")
	bSettings       = []byte("settings")
	bDomains        = []byte("domains")
	bAddresses      = []byte("addresses")
	bAccounts       = []byte("accounts")
	bDevices        = []byte("devices")
	bState          = []byte("state")
	bFolders        = []byte("mailboxes")
	bNames          = []byte("names")
	bSubscriptions  = []byte("subscriptions")
	bFacts          = []byte("facts")
	bViews          = []byte("views")
	bFlags          = []byte("flags")
	bExpunged       = []byte("expunged")
	bBodies         = []byte("bodies")
	bDigests        = []byte("digests")
	bSignatures     = []byte("signatures")
	bThreads        = []byte("threads")
	bJoined         = []byte("joined")
	bPacks          = []byte("packs")
	bOutbox         = []byte("outbox")
	bDue            = []byte("due")
	bJournal        = []byte("journal")
	bCorners        = []byte("corners")
	bTokens         = []byte("tokens")
	bDamaged        = []byte("damaged")
	bDiscarded      = []byte("discarded")
	bRules          = []byte("rules")
	bUndelete       = []byte("undelete")
	bTraces         = []byte("traces")
	bAnnotations    = []byte("annotations")
	bAllowances     = []byte("allowances")
	bPaces          = []byte("paces")
	bCorrespondents = []byte("correspondents")
	bOrigins        = []byte("origins")
	bBlocks         = []byte("blocks")
)

var buckets = [][]byte{
	bMeta, bSettings, bDomains, bAddresses, bAccounts, bDevices, bState, bFolders, bNames,
	bSubscriptions, bFacts, bViews, bFlags, bExpunged, bBodies, bDigests, bSignatures, bThreads, bJoined, bPacks, bOutbox, bDue, bJournal, bCorners, bTokens,
	bDamaged, bDiscarded, bRules, bUndelete, bTraces, bAnnotations, bAllowances, bPaces, bCorrespondents, bOrigins, bBlocks,
}

// tx is one bbolt transaction. It notes what has to happen around the commit:
// whether anything was put (so that a closure that fails before its first put
// costs no rollback), whose bells to ring, which packs to remove.
type tx struct {
	*bbolt.Tx
	packs      *packs // in a transaction of the writer
	memos      *memos
	puts       int
	bytes      int64 // of keys and values that were put
	rings      map[AccountID]bool
	ringOutbox bool
	deadPacks  []packNumber
	wake       bool     // there is work for Maintain
	after      []func() // once it is committed
}

// txOf is a transaction outside of an open store.
func txOf(t *bbolt.Tx) *tx { return &tx{Tx: t, memos: new(memos)} }

func (tx *tx) put(bucket, key, value []byte) error {
	tx.puts++
	tx.bytes += int64(len(key) + len(value))
	b := tx.Bucket(bucket)
	if grows(bucket) {
		b.FillPercent = 0.95
	}
	return b.Put(key, value)
}

// grows tells the buckets whose new keys come behind the old ones, at least
// within a mailbox: their pages may be left full.
func grows(bucket []byte) bool {
	switch string(bucket) {
	case "facts", "views", "bodies", "digests", "signatures", "journal", "origins":
		return true
	}
	return false
}

func (tx *tx) putJSON(bucket, key []byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.put(bucket, key, b)
}

func (tx *tx) delete(bucket, key []byte) error {
	tx.puts++
	return tx.Bucket(bucket).Delete(key)
}

func (tx *tx) nextSequence(bucket []byte) (uint64, error) {
	tx.puts++
	return tx.Bucket(bucket).NextSequence()
}

func (tx *tx) ring(id AccountID) {
	if tx.rings == nil {
		tx.rings = make(map[AccountID]bool)
	}
	tx.rings[id] = true
}

// each calls f with every pair whose key starts with prefix, in key order.
func (tx *tx) each(bucket, prefix []byte, f func(k, v []byte) error) error {
	c := tx.Bucket(bucket).Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if err := f(k, v); err != nil {
			return err
		}
	}
	return nil
}

// deletePrefix collects first: a bbolt cursor may skip a key when the tree
// under it is rebalanced while it walks.
func (tx *tx) deletePrefix(bucket, prefix []byte) error {
	var keys [][]byte
	err := tx.each(bucket, prefix, func(k, _ []byte) error {
		keys = append(keys, bytes.Clone(k))
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := tx.delete(bucket, k); err != nil {
			return err
		}
	}
	return nil
}

func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
func be64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// decoder reads the fields of a binary row; the first fault sticks.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 {
		v := uint64(d.b[0])
		d.b = d.b[1:]
		return v
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// bytes returns a slice of the row itself: clone what outlives the transaction.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string { return string(d.bytes()) }

func (d *decoder) err(what string) error {
	if d.bad {
		return fmt.Errorf("%s: %w", what, ErrCorrupt)
	}
	return nil
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}
