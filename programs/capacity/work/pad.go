package work

import (
	"crypto/sha512"
	"encoding/binary"
	"math/bits"
)

// A pad is one unit of the memory to hold: small enough for a core's second
// cache while it is filled, large enough that filling it again takes as long as
// some thirty segments.
const (
	wordBytes  = 8
	blockWords = 128
	padBlocks  = 1024
	padPasses  = 3
	padWords   = padBlocks * blockWords
	pageWords  = 1024
	padPages   = padWords / pageWords

	// PadBytes is the size of a pad.
	PadBytes = padWords * wordBytes
)

type (
	pad   [padWords]uint64
	block [blockWords]uint64
	page  [pageWords]uint64
	words [8]uint64
)

// goldenRatio is an arbitrary constant: it keeps zeros from multiplying to zero.
const goldenRatio = 0x9e3779b97f4a7c15

// fill computes pad number `index`. The pad must be all zeros.
//
// Each block is made of its own value from the pass before, the block before it
// and one that the running state names. To have a part of the last pass one
// needs what the passes before left, which is overwritten: one holds a pad or
// fills it again, and holding half of it is little better than holding nothing.
func (p *pad) fill(seed hash, index int) {
	input := append([]byte("capacity pad "), seed[:]...)
	digest := sha512.Sum512(binary.LittleEndian.AppendUint64(input, uint64(index)))
	var x words
	for i := range x {
		x[i] = binary.LittleEndian.Uint64(digest[i*wordBytes:])
	}
	previous := p.block(padBlocks - 1)
	for range padPasses {
		for i := range padBlocks {
			own := p.block(i)
			x = mixBlock(own, previous, p.block(int(x[0]%padBlocks)), x)
			previous = own
		}
	}
}

func (p *pad) block(i int) *block { return (*block)(p[i*blockWords:]) }
func (p *pad) page(i int) *page   { return (*page)(p[i*pageWords:]) }

// mixBlock overwrites `own` and returns the running state, turned by one word.
// Written out, because the compiler keeps only single variables in registers.
func mixBlock(own, previous, other *block, x words) words {
	x0, x1, x2, x3, x4, x5, x6, x7 := x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
	for w := 0; w < blockWords; w += len(x) {
		o, p, r := (*words)(own[w:]), (*words)(previous[w:]), (*words)(other[w:])
		x0 = mix(x0^p[0], r[0]^goldenRatio) + o[0]
		x1 = mix(x1^p[1], r[1]^goldenRatio) + o[1]
		x2 = mix(x2^p[2], r[2]^goldenRatio) + o[2]
		x3 = mix(x3^p[3], r[3]^goldenRatio) + o[3]
		x4 = mix(x4^p[4], r[4]^goldenRatio) + o[4]
		x5 = mix(x5^p[5], r[5]^goldenRatio) + o[5]
		x6 = mix(x6^p[6], r[6]^goldenRatio) + o[6]
		x7 = mix(x7^p[7], r[7]^goldenRatio) + o[7]
		*o = words{x0, x1, x2, x3, x4, x5, x6, x7}
	}
	return words{x1, x2, x3, x4, x5, x6, x7, x0}
}

// mix is the full product of two words, folded: one instruction on every 64-bit
// processor, and one that vector units don't have.
func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}
