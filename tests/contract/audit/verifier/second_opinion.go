// A verifier of tiles made of golang.org/x/mod/sumdb: its note opens the head, its tlog reads the tiles against the
// head's root, and proves every entry and every older tree that is asked for.
//
//	go run second_opinion.go DIRECTORY VKEY [SIZE ...]
//
// Prints {"size":..., "root":..., "included":..., "consistent":...}; ends with 1 and one line when anything fails.
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// tiles reads tiles in the layout of C2SP tlog-tiles, which leaves out the height.
type tiles struct{ folder string }

func (t tiles) Height() int { return height }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
		data, err := os.ReadFile(filepath.Join(t.folder, path))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

// head opens the signed note and reads the three lines of a checkpoint.
func head(folder, vkey string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	signed, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("no checkpoint of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

// entries hands out every entry of every bundle below a size.
func entries(folder string, size int64, each func(index int64, entry []byte) error) error {
	for index := int64(0); index < size; {
		tile := tlog.Tile{H: height, L: 0, N: index >> height, W: 1 << height}
		if rest := size - index; rest < 1<<height {
			tile.W = int(rest)
		}
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/0/", height), "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(folder, path))
		if err != nil {
			return err
		}
		for at := 0; at < tile.W; at++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				return fmt.Errorf("entry %d is cut off", index)
			}
			length := int(binary.BigEndian.Uint16(data))
			if err := each(index, data[2:2+length]); err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
			data, index = data[2+length:], index+1
		}
	}
	return nil
}

func run(folder, vkey string, sizes []string) error {
	tree, err := head(folder, vkey)
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, tiles{folder})
	included, consistent := 0, 0
	err = entries(folder, tree.N, func(index int64, entry []byte) error {
		proof, err := tlog.ProveRecord(tree.N, index, reader)
		if err != nil {
			return err
		}
		included++
		return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry))
	})
	if err != nil {
		return err
	}
	for _, text := range sizes {
		size, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		older, err := tlog.TreeHash(size, reader)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveTree(tree.N, size, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, size, older); err != nil {
			return err
		}
		consistent++
	}
	said := map[string]any{"size": tree.N, "root": tree.Hash.String(), "included": included, "consistent": consistent}
	return json.NewEncoder(os.Stdout).Encode(said)
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "second_opinion DIRECTORY VKEY [SIZE ...]")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
