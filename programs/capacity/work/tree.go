package work

import "crypto/sha256"

type hash = [sha256.Size]byte

// A tree is a binary Merkle tree over any number of leaves, which are hashes
// already. A node without a right neighbour gets zeros for one. Leaves and nodes
// can't be confused: the number of leaves, and so the depth, is known.

// node names a node: level 0 holds the leaves.
type node struct {
	level int
	index uint64
}

func join(left, right hash) hash {
	var both [2 * sha256.Size]byte
	copy(both[:], left[:])
	copy(both[sha256.Size:], right[:])
	return sha256.Sum256(both[:])
}

// reduce writes the level above `level` into `above`, which may be the same
// slice, and returns it.
func reduce(above, level []hash) []hash {
	parents := (len(level) + 1) / 2
	for i := range parents {
		var right hash
		if 2*i+1 < len(level) {
			right = level[2*i+1]
		}
		above[i] = join(level[2*i], right)
	}
	return above[:parents]
}

// fold computes the root of a tree of `leaves` leaves from some of them, which
// are given with their places in rising order. It asks for each node that they
// don't lead to and that does exist, once, from the leaves up and from left to
// right: that order is the proof's.
func fold(leaves uint64, places []uint64, values []hash, sibling func(node) hash) hash {
	places, values = append([]uint64(nil), places...), append([]hash(nil), values...)
	for level := 0; leaves > 1; level++ {
		parents := 0
		for i := 0; i < len(places); i++ {
			place, value := places[i], values[i]
			var parent hash
			switch {
			case place%2 == 1:
				parent = join(sibling(node{level, place - 1}), value)
			case i+1 < len(places) && places[i+1] == place+1:
				i++
				parent = join(value, values[i])
			case place+1 < leaves:
				parent = join(value, sibling(node{level, place + 1}))
			default:
				parent = join(value, hash{})
			}
			places[parents], values[parents] = place/2, parent
			parents++
		}
		places, values = places[:parents], values[:parents]
		leaves = (leaves + 1) / 2
	}
	return values[0]
}
