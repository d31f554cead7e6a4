package mimcchain

import (
	"testing"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	"github.com/consensys/gnark/constraint"
	"github.com/consensys/gnark/frontend"
	"github.com/consensys/gnark/frontend/cs/r1cs"
)

func satisfied(t *testing.T, rounds int, image, preimage fr.Element) error {
	t.Helper()
	circuit, err := frontend.Compile(ecc.BN254.ScalarField(), r1cs.NewBuilder[constraint.U64], &Circuit{Rounds: rounds})
	if err != nil {
		t.Fatal(err)
	}
	assignment, err := frontend.NewWitness(&Circuit{Image: image, Preimage: preimage}, ecc.BN254.ScalarField())
	if err != nil {
		t.Fatal(err)
	}
	return circuit.IsSolved(assignment)
}

func TestCircuitAgreesWithImage(t *testing.T) {
	for _, rounds := range []int{1, 2, 5} {
		for _, preimage := range []fr.Element{{}, fr.NewElement(1), fr.NewElement(123456789)} {
			if err := satisfied(t, rounds, Image(preimage, rounds), preimage); err != nil {
				t.Errorf("%d rounds from %s: %v", rounds, preimage.String(), err)
			}
		}
	}
}

func TestCircuitRefusesAnotherImage(t *testing.T) {
	preimage := fr.NewElement(7)
	if satisfied(t, 3, Image(preimage, 2), preimage) == nil {
		t.Error("the image after two rounds passed for the image after three")
	}
}
