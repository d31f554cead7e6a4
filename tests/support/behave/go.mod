module proofmill.test/behave

go 1.22
