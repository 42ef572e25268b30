package keeper

//go:generate go test -count=1 -run ^TestPart$ . -update

// Part is the digest of the keeper's own code: this package, early and utils/logfile.
const Part = "f8b0deb5f43dea4b"
