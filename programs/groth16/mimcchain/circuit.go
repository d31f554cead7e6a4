// Package mimcchain is the relation that this program proves: `Rounds` times
// MiMC, each round hashing the digest of the one before, leads from a secret
// preimage to a public image. Field: the scalars of BN254.
package mimcchain

import (
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	native "github.com/consensys/gnark-crypto/ecc/bn254/fr/mimc"
	"github.com/consensys/gnark/frontend"
	"github.com/consensys/gnark/std/hash/mimc"
)

// Circuit is the relation as constraints, 330 a round.
type Circuit struct {
	Rounds   int               `gnark:"-"`
	Image    frontend.Variable `gnark:",public"`
	Preimage frontend.Variable
}

// Define implements frontend.Circuit.
func (c *Circuit) Define(api frontend.API) error {
	hash, err := mimc.NewMiMC(api)
	if err != nil {
		return err
	}
	state := c.Preimage
	for range c.Rounds {
		hash.Reset()
		hash.Write(state)
		state = hash.Sum()
	}
	api.AssertIsEqual(state, c.Image)
	return nil
}

// Image evaluates the chain outside the circuit.
func Image(preimage fr.Element, rounds int) fr.Element {
	hash := native.NewMiMC()
	state := preimage.Bytes()
	for range rounds {
		hash.Reset()
		// Write refuses only bytes that aren't a reduced element; these always are.
		if _, err := hash.Write(state[:]); err != nil {
			panic(err)
		}
		copy(state[:], hash.Sum(nil))
	}
	var image fr.Element
	image.SetBytes(state[:])
	return image
}
