package work

import (
	"crypto/sha256"
	"slices"
	"testing"
)

func someLeaves(count int) []hash {
	leaves := make([]hash, count)
	for i := range leaves {
		leaves[i] = sha256.Sum256([]byte{byte(i)})
	}
	return leaves
}

func allLevels(leaves []hash) [][]hash {
	levels := [][]hash{leaves}
	for len(leaves) > 1 {
		leaves = reduce(make([]hash, (len(leaves)+1)/2), leaves)
		levels = append(levels, leaves)
	}
	return levels
}

func TestFoldLeadsToTheRootFromAnyLeaves(t *testing.T) {
	for count := 1; count <= 11; count++ {
		leaves := someLeaves(count)
		levels := allLevels(leaves)
		for chosen := 1; chosen < 1<<count; chosen++ {
			var places []uint64
			var values []hash
			for i := range count {
				if chosen>>i&1 == 1 {
					places, values = append(places, uint64(i)), append(values, leaves[i])
				}
			}
			asked := map[node]bool{}
			root := fold(uint64(count), places, values, func(n node) hash {
				if asked[n] || n.level == 0 && slices.Contains(places, n.index) {
					t.Fatalf("%d leaves, %v: node %v is asked for needlessly", count, places, n)
				}
				asked[n] = true
				return levels[n.level][n.index]
			})
			if root != levels[len(levels)-1][0] {
				t.Fatalf("%d leaves: %v don't lead to the root", count, places)
			}
			if chosen == 1<<count-1 && len(asked) != 0 {
				t.Fatalf("%d leaves, all given: %v are asked for", count, asked)
			}
		}
	}
}

func TestFoldDependsOnEveryLeafAndPlace(t *testing.T) {
	leaves := someLeaves(5)
	levels := allLevels(leaves)
	sibling := func(n node) hash { return levels[n.level][n.index] }
	root := levels[len(levels)-1][0]
	if fold(5, []uint64{1, 4}, []hash{leaves[1], leaves[3]}, sibling) == root {
		t.Error("a false leaf leads to the root")
	}
	if fold(5, []uint64{0, 4}, []hash{leaves[1], leaves[4]}, sibling) == root {
		t.Error("a leaf in a false place leads to the root")
	}
}
