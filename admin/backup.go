package admin

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
)

// BackupRequest is what POST /v1/backup takes: the packs, by name and size, that the
// caller has already (mailbox.BackupHas).
type BackupRequest struct {
	Have map[string]int64 `json:"have,omitempty"`
}

// BackupSize is the header of the answer that tells how many bytes of files a whole
// backup has.
const BackupSize = "Roost-Backup-Size"

func (o *Office) sendBackup(w http.ResponseWriter, r *http.Request) {
	var ask BackupRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, maxBackupRequest)).Decode(&ask); err != nil && err != io.EOF {
		e := errorf(Invalid, "the request for a backup is not the JSON that it should be: %v", err)
		reply(w, e.Kind.Status(), map[string]*Error{"error": e})
		return
	}
	if err := o.SendBackup(w, r, ask.Have); err != nil {
		e := Explain(err)
		reply(w, e.Kind.Status(), map[string]*Error{"error": e})
	}
}

// SendBackup answers with a backup as a tar file, made while the server works and never
// in a file here. An error says that nothing was sent. A backup that ends early is shorter
// than was told, and has no checksums at its end: whoever receives it notices. It has
// everybody's mail and keys in it: the caller sees to who may have it.
func (o *Office) SendBackup(w http.ResponseWriter, r *http.Request, have map[string]int64) error {
	b, err := o.Store.NewBackup(r.Context())
	if err != nil {
		return err
	}
	defer b.Close()
	length, err := b.TarSize(have)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-tar")
	w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	w.Header().Set(BackupSize, strconv.FormatInt(b.Size(), 10))
	if err := b.WriteTar(r.Context(), w, have, nil); err != nil {
		if o.Log != nil {
			o.Log.Error("a backup is not whole", "err", err)
		}
		panic(http.ErrAbortHandler) // so that the caller sees the end of it as an error
	}
	if o.Log != nil {
		o.Log.Info("backup sent", "bytes", b.Size(), "packs", len(b.Manifest.Packs))
	}
	return nil
}

// maxBackupRequest is room for the names of a hundred thousand packs.
const maxBackupRequest = 8 << 20
