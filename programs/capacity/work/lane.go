package work

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// laneStart is the state that a lane's first segment begins with.
func laneStart(seed hash, lane uint64) hash {
	input := append([]byte("capacity lane "), seed[:]...)
	return sha256.Sum256(binary.LittleEndian.AppendUint64(input, lane))
}

// pageOf says which page the segment that begins with `before` reads.
func pageOf(before hash, pads int) (pad, page int) {
	high, _ := bits.Mul64(binary.LittleEndian.Uint64(before[:]), uint64(pads))
	return int(high), int(before[wordBytes]) % padPages
}

// segment is one step of a lane: from the state before, its page and its number
// to the state after. Between two segments stands sha256, so that the mixing
// need only be slow, not strong.
func segment(before hash, read *page, index uint64, rounds int) hash {
	var x words
	for i := range 4 {
		x[i] = binary.LittleEndian.Uint64(before[i*wordBytes:])
		x[4+i] = read[i]
	}
	// Read in order, which is what memory is good at; then in any order.
	local := *read
	x = local.churn(x, rounds)

	var input [len(before) + wordBytes + len(x)*wordBytes]byte
	encoded := append(input[:0], before[:]...)
	encoded = binary.LittleEndian.AppendUint64(encoded, index)
	for _, word := range x {
		encoded = binary.LittleEndian.AppendUint64(encoded, word)
	}
	return sha256.Sum256(encoded)
}

// churn is where the time goes. Each step multiplies a word by one that another
// word picks from the page, and adds one that it picks itself. Eight words at
// once keep a core's multiplier and load units busy, so that a second lane beside
// the first finds nothing idle, and the picking leaves vector units no gain.
func (t *page) churn(x words, rounds int) words {
	const top = 64 - 10 // the ten bits that pick a word
	x0, x1, x2, x3, x4, x5, x6, x7 := x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
	for range rounds {
		x0 = mix(x0, t[x1%pageWords]) + t[x0>>top]
		x1 = mix(x1, t[x2%pageWords]) + t[x1>>top]
		x2 = mix(x2, t[x3%pageWords]) + t[x2>>top]
		x3 = mix(x3, t[x4%pageWords]) + t[x3>>top]
		x4 = mix(x4, t[x5%pageWords]) + t[x4>>top]
		x5 = mix(x5, t[x6%pageWords]) + t[x5>>top]
		x6 = mix(x6, t[x7%pageWords]) + t[x6>>top]
		x7 = mix(x7, t[x0%pageWords]) + t[x7>>top]
	}
	return words{x0, x1, x2, x3, x4, x5, x6, x7}
}
