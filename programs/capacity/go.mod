module proofmill/programs/capacity

go 1.26.0
