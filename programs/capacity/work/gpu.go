package work

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// gpuSeed is what the leaves of all GPUs start from.
func gpuSeed(seed hash) hash {
	return sha256.Sum256(append([]byte("capacity gpu "), seed[:]...))
}

// gpuLeaf is one leaf of the GPUs' tree, for any of them: nothing but 32-bit
// integers, and independent of every other leaf. This is the reference that a
// GPU's kernel must agree with.
func gpuLeaf(seed hash, index uint64, rounds int) hash {
	var s [8]uint32
	for i := range s {
		s[i] = binary.LittleEndian.Uint32(seed[4*i:])
	}
	s0, s1, s2, s3, s4, s5, s6, s7 := s[0]^uint32(index), s[1]^uint32(index>>32), s[2], s[3], s[4], s[5], s[6], s[7]
	for range rounds {
		s0 = bits.RotateLeft32(s0*(s1|1)+s2, 13)
		s1 = bits.RotateLeft32(s1*(s2|1)+s3, 13)
		s2 = bits.RotateLeft32(s2*(s3|1)+s4, 13)
		s3 = bits.RotateLeft32(s3*(s4|1)+s5, 13)
		s4 = bits.RotateLeft32(s4*(s5|1)+s6, 13)
		s5 = bits.RotateLeft32(s5*(s6|1)+s7, 13)
		s6 = bits.RotateLeft32(s6*(s7|1)+s0, 13)
		s7 = bits.RotateLeft32(s7*(s0|1)+s1, 13)
	}
	var leaf hash
	for i, word := range [8]uint32{s0, s1, s2, s3, s4, s5, s6, s7} {
		binary.LittleEndian.PutUint32(leaf[4*i:], word)
	}
	return leaf
}
